"""Two people agree in the same instant, and two sweepers go on with the same list: each happens once."""

from __future__ import annotations

import pytest

from audit.models import AuditEntry
from containment import mass_undo
from containment.models import MassUndo, MassUndoMember
from containment.refusals import AlreadySettled
from tests import cast
from tests.engine.conftest import sandbox, started
from tests.flows.test_mass_undo import agreed, asked, rested, standing
from tests.races.sessions import holding, in_the_same_instant

__all__ = ["sandbox", "started"]

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_two_who_agree_in_the_same_instant_one_is_first_and_the_other_hears_who(started):
    from accounts import actors, people
    from core.actor import SYSTEM

    rested(started, 1)
    row, mia = asked(), cast.person("mia")
    max_ = actors.of_person(people.add("max", name="Max", roles=["manager"], actor=SYSTEM))
    said = in_the_same_instant(
        "mass_undo",
        row.pk,
        lambda: mass_undo.approve(row.pk, actor=mia, seen_digest=row.digest),
        lambda: mass_undo.approve(row.pk, actor=max_, seen_digest=row.digest),
    )
    assert sorted(isinstance(one, AlreadySettled) for one in said) == [False, True]
    assert AuditEntry.objects.filter(verb="mass_undo.approved").count() == 1


def test_a_member_that_another_sweeper_has_is_left_to_it(started):
    rested(started, 2)
    row = agreed(asked())
    first = row.members.order_by("id")[0]
    with holding("mass_undo_member", first.pk):
        from tests.races.sessions import Session

        other = Session(mass_undo.go_on)
        other.join(timeout=20)
        assert other.outcome() == 1
    assert standing(row) == ["waiting", "undoing"]
    mass_undo.go_on()
    assert standing(row) == ["undoing", "undoing"]
    assert AuditEntry.objects.filter(verb="run.undo_requested").count() == MassUndoMember.objects.count()
    assert MassUndo.objects.get().state == "approved"
