"""Why playbooks say no."""

from __future__ import annotations

from core.refusals import Missing, Refusal


class NoPlaybook(Refusal):
    """No playbook in force is bound to this kind, drive and pattern."""

    code = "no_playbook"


class TiedPlaybooks(Refusal):
    """Two playbooks in force would be equally specific for the same case."""

    code = "tied_playbooks"


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


class NoSuchRun(Missing):
    code = "no_such_run"


class LeaseLost(Exception):  # noqa: N818 - not an error: another worker goes on, this one stops without a word
    """This worker's lease has passed; whatever it still holds in its hands must not be written."""


class Turned(Exception):  # noqa: N818 - not an error: the driver looks again and goes on from there
    """Somebody released, raised or turned the run round since its driver looked; what follows from that look is out of date."""
