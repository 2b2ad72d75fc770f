"""Owners, reach, names and protection; what is refused says why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import Team
from audit import clock
from containment import intake, inventory
from containment.inventory import AlreadyMerged, NameTaken
from containment.models import Identity
from core.refusals import BadInput, Forbidden, Missing
from tests import cast, make
from tests.inventory.people import administrator, engineer, entries, recorded

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_nobody_owns_waits_with_its_age_and_with_the_group_that_answers_meanwhile():
    cast.person("ines")
    make.identity("owned")
    found = make.identity("found", owner_team="", discovered_at=clock.now() - timedelta(hours=5))
    make.identity("older", owner_team="")
    queue = inventory.adoption_queue()
    assert queue.count == 2
    assert [one.identity.subject for one in queue.waiting] == ["found", "older"]
    assert {one.answers for one in queue.waiting} == {"soc"}
    assert timedelta(hours=5) <= queue.waiting[0].age < timedelta(hours=6)
    assert queue.waiting[0].since == found.discovered_at
    assert queue.oldest == queue.waiting[0].age
    assert inventory.adoption_queue(most=1).count == 2


def test_an_environment_with_a_group_of_its_own_answers_for_itself():
    cast.person("ines")
    Team.objects.create(name="soc-staging")
    make.identity("found", owner_team="", environment="staging")
    assert inventory.adoption_queue().waiting[0].answers == "soc-staging"


def test_adopting_gives_an_owner_and_ends_the_wait():
    cast.person("ines")
    identity = make.identity("found", owner_team="", discovered_at=clock.now())
    adopted = inventory.adopt(identity.pk, team="soc", actor=engineer())
    assert (adopted.owner_team, adopted.discovered_at) == ("soc", None)
    assert inventory.adoption_queue().count == 0
    assert recorded(identity.ref) == ["gave postgres/found an owner: soc"]


def test_nobody_adopts_for_a_team_that_does_not_exist_or_for_nobody():
    identity = make.identity("found", owner_team="")
    with pytest.raises(BadInput, match="no such team"):
        inventory.adopt(identity.pk, team="ghosts", actor=engineer())
    with pytest.raises(BadInput, match="a person or a team"):
        inventory.adopt(identity.pk, actor=engineer())
    assert recorded(identity.ref) == []


@pytest.mark.parametrize(
    ("reach", "read_from", "shown"), [("team", "typed", "typed"), ("wide", "connector", "connector"), ("unknown", "typed", "unknown")]
)
def test_reach_says_how_it_is_known_and_since_when(reach, read_from, shown):
    identity = inventory.set_reach(make.identity("etl").pk, reach, read_from=read_from, actor=engineer())
    assert (identity.reach, identity.reach_from) == (reach, shown)
    assert identity.reach_at is not None


def test_a_change_is_checked_whole_and_written_down_with_what_was():
    identity = make.identity("etl")
    with pytest.raises(BadInput) as refused:
        inventory.change(identity.pk, {"kind": "robot", "known_networks": ["ten"], "protected": True}, actor=engineer())
    assert [fault.path for fault in refused.value.faults] == ["kind", "known_networks[0]", "protected"]
    changed = inventory.change(identity.pk, {"tenant": "acme", "known_networks": ["10.1.0.1"]}, actor=engineer())
    assert (changed.tenant, changed.known_networks) == ("acme", ["10.1.0.1/32"])
    [(_, facts)] = entries(identity.ref)
    assert facts["was"] == {"tenant": "", "known_networks": ["127.0.0.0/8", "10.0.0.0/8"]}
    inventory.change(identity.pk, {"tenant": "acme"}, actor=engineer())
    assert len(recorded(identity.ref)) == 1


def test_who_only_analyses_changes_nothing():
    identity = make.identity("etl")
    for call in (
        lambda: inventory.change(identity.pk, {"tenant": "acme"}, actor=cast.person("ines")),
        lambda: inventory.set_reach(identity.pk, "narrow", actor=cast.person("ines")),
        lambda: inventory.adopt(identity.pk, team="soc", actor=cast.person("ines")),
        lambda: inventory.add_alias(identity.pk, "okta", "etl", actor=cast.person("ines")),
    ):
        with pytest.raises(Forbidden):
            call()


def test_the_protected_list_is_the_administrators():
    identity = make.identity("root")
    with pytest.raises(Forbidden):
        inventory.protect(identity.pk, "break-glass", actor=engineer())
    with pytest.raises(BadInput, match="Say why"):
        inventory.protect(identity.pk, " ", actor=administrator())
    protected = inventory.protect(identity.pk, "break-glass", actor=administrator())
    assert (protected.protected, protected.protected_because) == (True, "break-glass")
    bare = inventory.unprotect(identity.pk, "replaced by a sealed envelope", actor=administrator())
    assert (bare.protected, bare.protected_because) == (False, "")
    assert len(recorded(identity.ref)) == 2


def test_a_detection_finds_an_identity_by_any_of_its_names():
    identity = make.identity("invoice-agent", provider="holdfast", kind="ai_agent")
    inventory.add_alias(identity.pk, "postgres", "invoice_agent", actor=engineer())
    assert intake.find_identity("postgres", "invoice_agent") == identity
    inventory.add_alias(identity.pk, "postgres", "invoice_agent", actor=engineer())
    inventory.remove_alias(identity.pk, "postgres", "invoice_agent", actor=engineer())
    assert intake.find_identity("postgres", "invoice_agent") is None
    assert recorded(identity.ref) == [
        "noted that postgres/invoice_agent is holdfast/invoice-agent too",
        "noted that postgres/invoice_agent is no longer holdfast/invoice-agent",
    ]
    with pytest.raises(Missing):
        inventory.remove_alias(identity.pk, "postgres", "invoice_agent", actor=engineer())


def test_a_name_belongs_to_one_identity():
    first, second = make.identity("first"), make.identity("second")
    inventory.add_alias(first.pk, "okta", "one", actor=engineer())
    with pytest.raises(NameTaken, match="merge them"):
        inventory.add_alias(second.pk, "okta", "one", actor=engineer())
    with pytest.raises(NameTaken, match="merge them"):
        inventory.add_alias(second.pk, "postgres", "first", actor=engineer())


def test_only_an_administrator_says_which_other_names_are_protected():
    identity = make.identity("root", protected=True, protected_because="break-glass")
    with pytest.raises(Forbidden):
        inventory.add_alias(identity.pk, "okta", "mallory", actor=engineer())
    inventory.add_alias(identity.pk, "okta", "root", actor=administrator())
    with pytest.raises(Forbidden):
        inventory.remove_alias(identity.pk, "okta", "root", actor=engineer())


def test_a_name_that_is_somebody_else_becomes_an_identity_as_protected_as_before():
    identity = make.identity("root", protected=True, protected_because="break-glass")
    inventory.add_alias(identity.pk, "okta", "root", actor=administrator())
    other = inventory.split_alias(identity.pk, "okta", "root", because="another machine", actor=administrator())
    assert intake.find_identity("okta", "root") == other != identity
    assert (other.kind, other.protected, other.protected_because) == ("service_account", True, "break-glass")


def test_a_merged_entry_is_changed_no_more():
    other, into = make.identity("other"), make.identity("into")
    inventory.merge(other.pk, into.pk, because="the same job", actor=engineer())
    with pytest.raises(AlreadyMerged, match="postgres/into"):
        inventory.set_reach(other.pk, "narrow", actor=engineer())
    assert inventory.adoption_queue().count == 0
    assert Identity.objects.get(pk=other.pk).reach == "wide"
