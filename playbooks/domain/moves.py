"""The lives of a Run and of a Step."""

from __future__ import annotations

from core.lifecycle import Lifecycle

RUN = Lifecycle(
    "run",
    {
        ("prepared", "ask"): "waiting",  # a hold is open; its interim stage may run
        ("prepared", "start"): "pending",
        ("waiting", "release"): "pending",  # approved, or lapsed into contain
        ("waiting", "withdraw"): "withdrawn",  # nothing was done
        ("waiting", "undo"): "undoing",  # the interim stage is put back
        ("pending", "begin"): "running",
        ("pending", "undo"): "undoing",
        ("pending", "give_up"): "needs_human",
        ("running", "verify"): "verifying",
        ("running", "contain"): "contained",
        ("running", "leave_partial"): "partial",
        ("running", "fail"): "failed",
        ("running", "give_up"): "needs_human",
        ("running", "undo"): "undoing",
        ("verifying", "contain"): "contained",
        ("verifying", "leave_partial"): "partial",
        ("verifying", "give_up"): "needs_human",
        ("verifying", "undo"): "undoing",
        ("pending", "raise"): "pending",
        ("running", "raise"): "running",
        ("verifying", "raise"): "pending",
        ("contained", "raise"): "pending",
        ("contained", "undo"): "undoing",
        ("partial", "raise"): "pending",
        ("partial", "accept"): "accepted",
        ("partial", "fail"): "failed",  # nothing took effect, and the harder stage does not follow
        ("partial", "undo"): "undoing",
        ("failed", "undo"): "undoing",
        ("needs_human", "undo"): "undoing",
        ("needs_human", "retry"): "pending",
        ("needs_human", "accept"): "accepted",  # a person leaves it as it is; nothing more is done
        ("undoing", "finish_undo"): "undone",
        ("undoing", "give_up"): "needs_human",
        ("contained", "reinstate"): "reinstating",  # it comes back level by level
        ("partial", "reinstate"): "reinstating",
        ("needs_human", "reinstate"): "reinstating",
        ("reinstating", "contain_again"): "pending",
        ("reinstating", "undo"): "undoing",  # the rest at once
        ("reinstating", "finish_undo"): "undone",
        ("reinstating", "give_up"): "needs_human",
    },
)

COMING_BACK = frozenset({"undoing", "reinstating"})
WORKABLE = frozenset({"waiting", "pending", "running", "verifying"}) | COMING_BACK
LIVE = frozenset({"prepared", "contained", "partial", "needs_human"}) | WORKABLE
UNDOABLE = frozenset({"contained", "partial", "failed", "needs_human"})
ACCEPTABLE = frozenset({"partial", "needs_human"})

STEP = Lifecycle(
    "step",
    {
        ("planned", "intend"): "acting",
        ("planned", "skip"): "skipped",
        ("acting", "intend"): "acting",  # a later attempt at the same effect
        ("acting", "prove"): "done",
        ("acting", "verify"): "verifying",
        ("acting", "leave_partial"): "partial",
        ("acting", "fail"): "failed",
        ("acting", "lose"): "lost",  # evidence that could not be had in time
        ("acting", "give_up"): "needs_human",
        ("verifying", "prove"): "done",
        ("verifying", "leave_partial"): "partial",
        ("verifying", "verify"): "verifying",
        ("acting", "undo"): "undoing",
        ("verifying", "undo"): "undoing",
        ("done", "undo"): "undoing",
        ("partial", "undo"): "undoing",
        ("failed", "undo"): "undoing",
        ("needs_human", "undo"): "undoing",
        ("needs_human", "intend"): "acting",
        ("undoing", "undo"): "undoing",
        ("undoing", "finish_undo"): "undone",
        ("undoing", "give_up"): "needs_human",
    },
)

SETTLED = frozenset({"verifying", "done", "partial", "failed", "skipped", "lost", "needs_human"})
