"""Why playbooks say no."""

from __future__ import annotations

from datetime import datetime

from core.refusals import Missing, Refusal


class NoPlaybook(Refusal):
    """No playbook in force is bound to this kind, drive and pattern."""

    code = "no_playbook"


class TiedPlaybooks(Refusal):
    """Two playbooks in force would be equally specific for the same case."""

    code = "tied_playbooks"


class LeavesNoPlaybook(Refusal):
    """Somebody would be left without any playbook."""

    code = "leaves_no_playbook"


class NotInThatState(Refusal):
    code = "not_in_that_state"


class NotTheTextSeen(Refusal):
    """The digest on screen is not the digest of the text."""

    code = "not_the_text_seen"


class NotYourPlaybook(Refusal):
    code = "not_your_playbook"
    kind = "forbidden"


class NotUndoable(Refusal):
    code = "not_undoable"


class NotAcceptable(Refusal):
    """Only what did not end whole is accepted as it is."""

    code = "not_acceptable"


class NotRepeatable(Refusal):
    """Trying again would not lead anywhere else."""

    code = "not_repeatable"


class AlreadyLive(Refusal):
    """The identity is under a live run of this control already."""

    code = "already_live"


class OwnApproval(Refusal):
    code = "own_approval"
    kind = "forbidden"


class KillSwitchOn(Refusal):
    """The kill switch keeps it back."""

    code = "kill_switch"


class NotYourSwitch(Refusal):
    code = "not_your_switch"
    kind = "forbidden"


class TakesTwo(Refusal):
    """One person makes the kill switch harder, two make it milder."""

    code = "takes_two"


class NotMilder(Refusal):
    code = "not_milder"


class NothingAsked(Refusal):
    code = "nothing_asked"


class AlreadyAsked(Refusal):
    code = "already_asked"


class AskChanged(Refusal):
    """What is asked for is not what was on the screen, or whoever asked may not any more."""

    code = "ask_changed"


class NotRaised(Refusal):
    """The run went another way before people approved its harder stage."""

    code = "not_raised"


class EvidenceFirst(Refusal):
    """A cut may not begin while evidence that stands before it is neither preserved, lost nor waived."""

    code = "evidence_first"


class NoSuchRun(Missing):
    code = "no_such_run"


class NotReturning(Refusal):
    """Only a run that comes back in levels goes on with the next one, or is contained again."""

    code = "not_returning"


class NotProlongable(Refusal):
    """Only a containment that ends by itself is prolonged, and within bounds."""

    code = "not_prolongable"


class MovedSince(Refusal):
    """What was asked for rests on a page that is out of date."""

    code = "moved_since"


class Occupied(Exception):  # noqa: N818 - not an error: the run waits a moment and looks again
    """Another run is acting on the same control at this moment."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class LeaseLost(Exception):  # noqa: N818 - not an error: another worker goes on, this one stops without a word
    """This worker's lease has passed; whatever it still holds in its hands must not be written."""


class Turned(Exception):  # noqa: N818 - not an error: the driver looks again and goes on from there
    """Somebody released, raised or turned the run round since its driver looked; what follows from that look is out of date."""


class Stopped(Exception):  # noqa: N818 - not an error: the run stands still, and says why
    """The kill switch, a withdrawn playbook or an open circuit stands before the next call. `for_good`: it does not go on by itself;
    `until`: when to look again, where that is known."""

    def __init__(self, because: str, *, for_good: bool = False, until: datetime | None = None) -> None:
        super().__init__(because)
        self.because, self.for_good, self.until = because, for_good, until
