"""Why containment says no."""

from __future__ import annotations

from core.refusals import BadInput, Forbidden, Missing, Refusal


class OutOfSource(Forbidden):
    """The source may not speak about this kind of identity or provider, or names another source than its token's."""

    code = "out_of_source"


class NoSuchSource(Missing):
    code = "no_such_source"


class ObservesAlready(Refusal):
    code = "observes_already"


class NotObserving(Refusal):
    code = "not_observing"


class AskAnswered(Refusal):
    """Somebody was faster, or what was asked for waits no longer."""

    code = "ask_answered"


class NotExposed(Refusal):
    code = "not_exposed"


class NoPolicy(Refusal):
    """No risk policy is in force; nothing can be decided, and what arrives is kept until one is."""

    code = "no_policy"
    kind = "busy"


class BeingUndone(Refusal):
    """The run that would cover it is being undone and will stand no longer. It is decided once that is over."""

    code = "being_undone"
    kind = "busy"


class NoSuchDetection(Missing):
    code = "no_such_detection"


class NotSetAside(Refusal):
    code = "not_set_aside"


class NoSuchSession(Missing):
    code = "no_such_session"


class SessionExists(Refusal):
    code = "session_exists"


class SessionEnded(Refusal):
    code = "session_ended"


class WouldWiden(Refusal):
    """A session may give up rights by itself; getting more takes an approval."""

    code = "would_widen"


class TooManySessions(Refusal):
    """So many sessions live that no other one begins."""

    code = "too_many_sessions"


class TooManyDiscovered(Refusal):
    """A source asked about more identities that nobody knows than it may in an hour."""

    code = "too_many_discovered"
    kind = "busy"


class NotYourSession(Forbidden):
    code = "not_your_session"


class NotItsIdentity(Forbidden):
    """The token is bound to another identity."""

    code = "not_its_identity"


class AnotherStopped(Refusal):
    """Whoever was stopped in one session begins no other one."""

    code = "another_session_stopped"


class SessionStopped(Refusal):
    """A session that people have to decide about does not end before they have."""

    code = "session_stopped"


class IdentityContained(Refusal):
    """Who is contained begins nothing new, under no other name."""

    code = "identity_contained"


class OwnApproval(Forbidden):
    code = "own_approval"


class CaseClosed(Refusal):
    code = "case_closed"


class NotYetSettled(Refusal):
    """A case is closed when nothing of it is open."""

    code = "not_yet_settled"


class OnlyApprover(Forbidden):
    """Somebody other than the one who approved alone looks last."""

    code = "only_approver"


class NoSuchMassUndo(Missing):
    code = "no_such_mass_undo"


class ListChanged(Refusal):
    """The list of runs is not the one that was on the screen."""

    code = "list_changed"


class AlreadySettled(Refusal):
    """Somebody agreed to it, or called it off."""

    code = "already_settled"


class NotThePerson(Forbidden):
    """Only people with a certain right do this, and not by a program."""

    code = "not_the_person"


class NotAsShown(Refusal):
    """The text, or what it is compared with, is not what was on screen."""

    code = "not_as_shown"


class NotTested(Refusal):
    """Whoever approves a policy has seen what it would have done."""

    code = "backtest_not_seen"


class NotAcknowledged(Refusal):
    code = "not_acknowledged"


class ApprovedAlready(Refusal):
    code = "approved_already"


class NotGreen(BadInput):
    """Enforcing waits until each point is green; `faults` names those that are not."""

    code = "not_green"
    kind = "conflict"


class ShadowTaken(Refusal):
    code = "shadow_taken"
