"""An inventory from a file: what it makes, that it makes it once, and what it says about a file that is wrong."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import people
from accounts.models import Person
from audit.models import AuditEntry
from containment import fingerprints, importing, intake, inventory
from containment.importing import CannotImport
from containment.importing.reading import read_csv, read_yaml
from containment.models import (
    Credential,
    CredentialUse,
    Designation,
    Identity,
    IdentityAlias,
    Resource,
    Session,
    Source,
    WorkDocument,
)
from core.actor import SYSTEM
from tests import cast, make
from tests.inventory.people import administrator, both, engineer, recorded

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = Path(__file__).parent / "examples"
IDENTITY_MEMBERS = (
    "aliases, attested, drive, environment, kind, known_networks, name, owner, owner_team, protected, protected_because, provider, reach, "
    "subject, tenant"
)
SECRETS = ("nobody-may-read", "hunter2", "s3cr3t")


def carried_out(text, **options):
    return importing.carry_out(read_yaml(text.encode()), name="inventory.yaml", actor=options.pop("actor", SYSTEM), **options)


def command(*words):
    out = io.StringIO()
    call_command("import_inventory", *map(str, words), stdout=out)
    return out.getvalue().splitlines()


def refused(text, **options):
    with pytest.raises(CannotImport) as refusal:
        carried_out(text, **options)
    return refusal.value.sentences


@pytest.fixture
def someone():
    """An administrator may import all of it: also the protected mark, when the file is theirs."""
    cast.person("enzo")
    both()
    administrator()

    ada = Person.objects.get(username="ada")
    people.set_roles(ada.pk, ["admin", "engineer"], actor=SYSTEM)
    return "ada"


def test_a_whole_inventory_comes_from_one_file(someone):
    said = command(EXAMPLES / "inventory.yaml", "--by", someone)
    assert said[-1] == "14 new, 4 changed, 0 as they were."
    pay = Identity.objects.get(subject="payments_writer")
    assert (pay.kind, pay.owner_team, pay.reach, pay.reach_from, pay.discovered_at) == (
        "service_account",
        "payments",
        "wide",
        "typed",
        None,
    )
    assert intake.find_identity("okta", "payments-writer") == pay
    assert str(Identity.objects.get(subject="invoice-agent").owner) == "Enzo"
    assert Identity.objects.get(subject="invoice-agent").attested["image"] == ["registry/agent@sha256:*"]
    assert Identity.objects.get(subject="postgres").protected
    assert Source.objects.get().trust == 0.8
    assert Resource.objects.get(key="vault.card_tokens").sensitivity == "critical"
    session = Session.objects.get()
    assert (session.identity, str(session.credential), session.workflow, session.gate) == (
        pay,
        "db_role payments_writer",
        "payments",
        "active",
    )
    assert CredentialUse.objects.get(identity=pay).workflow == "payments"


def test_a_file_approves_nothing(someone):
    command(EXAMPLES / "inventory.yaml", "--by", someone)
    assert set(WorkDocument.objects.values_list("name", "state", "author__username")) == {
        ("payments", "draft", "ada"),
        ("invoices", "draft", "ada"),
    }
    designation = Designation.objects.get()
    assert (designation.requester.username, designation.granted_at, designation.granter) == ("ada", None, None)


def test_the_same_file_again_changes_nothing_and_leaves_no_entry(someone):
    command(EXAMPLES / "inventory.yaml", "--by", someone)
    entries = AuditEntry.objects.count()
    assert command(EXAMPLES / "inventory.yaml", "--by", someone) == ["0 new, 0 changed, 14 as they were."]
    assert AuditEntry.objects.count() == entries


def test_a_dry_run_says_the_same_and_writes_nothing(someone):
    before = AuditEntry.objects.count()
    foretold = command(EXAMPLES / "inventory.yaml", "--by", someone, "--dry-run")
    assert (Identity.objects.count(), WorkDocument.objects.count(), AuditEntry.objects.count()) == (0, 0, before)
    assert foretold[-1] == "This was a dry run: nothing was written."
    assert foretold[:-1] == command(EXAMPLES / "inventory.yaml", "--by", someone)
    assert "line 26: new identity holdfast/invoice-agent" in foretold


def test_a_secret_is_kept_and_shown_as_a_fingerprint_only(someone):
    said = (
        command(EXAMPLES / "inventory.yaml", "--by", someone) + command(EXAMPLES / "identities.csv") + command(EXAMPLES / "credentials.csv")
    )
    key = Credential.objects.get(name="agent key")
    assert key.fingerprint == fingerprints.of("api_key", "an-agent-key-that-nobody-may-read-9f3b")
    with pytest.raises(CommandError) as refusal:
        command(EXAMPLES / "faulty.yaml")
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT coalesce(string_agg(t::text, chr(10)), $$$$) FROM "{table}" t')
            said.append(cursor.fetchone()[0])
    kept = "\n".join([*said, str(refusal.value)])
    assert "agent key" in kept
    assert [secret for secret in SECRETS if secret in kept] == []


def test_a_credential_says_where_it_is_kept_and_what_its_leaked_secret_would_look_like():
    identity = make.identity("etl_reader")
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"  # of the word test
    entry = f"{{provider: postgres, kind: db_role, id: etl_reader, sha256: {digest}, store: vault/prod}}"
    carried_out(f"credentials: [{entry}, {{provider: postgres, kind: api_key, secret: test, name: a key}}]")
    role, key = Credential.objects.get(uses__identity=identity), Credential.objects.get(name="a key")
    assert (role.store, role.secret_digest) == ("vault/prod", fingerprints.of_sha256(digest))
    assert key.secret_digest == role.secret_digest
    for wrong in ("sha256: abc", "store: vault"):
        with pytest.raises(CannotImport):
            carried_out(f"credentials: [{{provider: postgres, kind: db_role, id: etl_reader, {wrong}}}]")


def test_a_source_gets_its_rate_and_the_age_of_its_events():
    carried_out("sources: [{name: edr, rate_per_minute: 120, max_age_seconds: 3600}]")
    source = Source.objects.get(name="edr")
    assert (source.rate_per_minute, source.max_age_seconds) == (120, 3600)


def test_everything_wrong_with_a_file_is_said_at_once_with_its_line():
    with pytest.raises(CommandError) as refusal:
        command(EXAMPLES / "faulty.yaml")
    assert str(refusal.value).splitlines() == [
        "faulty.yaml was not imported:",
        "line 7: identities[1].kind: Must be one of human, service_account, workload, ci_pipeline, ai_agent.",
        "line 10: identities[1].known_networks[1]: A network is needed here, such as 10.0.0.0/8.",
        f"line 11: identities[1].colour: There is no such member. Known are {IDENTITY_MEMBERS}.",
        "line 12: identities[2].subject: This member is needed.",
        "line 14: identities[3]: The same stands on line 2 already.",
        "line 20: identities[4].owner: Nobody signs in under this name.",
        "line 21: identities[4].owner_team: There is no such team. It can stand in this file, under teams.",
        "line 23: credentials[0].secret: This member is needed.",
        "line 25: credentials[0].id: Use secret. Only its fingerprint is kept.",
        "line 28: credentials[1].secret: A text is needed here.",
        "line 30: sessions[0].identity: There is no such identity. It can stand in this file, under identities.",
    ]
    assert Identity.objects.count() == Credential.objects.count() == AuditEntry.objects.count() == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: The file is empty."),
        ("- a\n- b\n", "line 1: Lists named teams, sources"),
        ("people: []\n", "line 1: people: There is no such section."),
        ("teams: 4\n", "line 1: teams: A list is needed here."),
        ("teams:\n  - payments\n", "line 2: teams[0]: A mapping"),
        ("teams:\n  - name: a\n    name: b\n", "line 3: teams[0].name: This member stands here twice."),
        ("teams:\n  - name: &x a\n", "line 2: Anchors and aliases"),
        ("credentials:\n  - secret: *s3cr3t\n", "line 2: Anchors and aliases"),
        ("teams:\n  - name: !s3cr3t a\n", "line 2: teams[0].name: Tags are not allowed."),
        ("teams:\n  - name: 'a\n", "is not YAML from here on"),
        ("teams:\n  - name: " + "[" * 20 + "]" * 20, "line 2: More than 12 levels deep."),
        ("teams:\n  - name: no\n", "line 2: teams[0].name: A text is needed here."),
        ("teams:\n  - name: two words\n", "line 2: teams[0].name: Letters, digits"),
        ("teams:\n  - purpose: none\n", "line 2: teams[0].name: This member is needed."),
        ("identities:\n  - provider: a\n    subject: b\n", "line 2: identities[0].kind: A new identity needs a kind."),
        ("identities:\n  - {provider: a, subject: b, kind: human, protected: true}\n", "protected_because: Say why"),
        ("sources:\n  - {name: a, trust: 2}\n", "line 2: sources[0].trust: A number from 0 to 1"),
        ("workflows:\n  - {name: a, scope: [{action: data.read}]}\n", "line 2: workflows[0]: Say who asks for it"),
        ("resources:\n  - {kind: table, id: '\\0'}\n", None),
    ],
)  # fmt: skip
def test_each_fault_is_one_readable_line(text, sentence):
    if sentence is None:
        assert carried_out(text).changes[0].what == "new"
        return
    [said] = refused(text)
    assert sentence in said
    assert not any(secret in said for secret in SECRETS)


def test_faults_of_work_documents_name_their_place():
    text = (
        "workflows:\n  - name: ingest\n    scope:\n      - {resource: ingest.*}\n    drives: [horse]\n"
        "    budgets: {cakes_per_day: 3}\n  - name: Has Spaces\n    scope: []\n"
    )
    assert [said.split(":")[0] + said.split(":")[1] for said in refused(text, actor=engineer())] == [
        "line 4 workflows[0].scope[0].action",
        "line 5 workflows[0].drives[0]",
        "line 6 workflows[0].budgets.cakes_per_day",
        "line 7 workflows[1].name",
    ]


def test_a_file_that_is_not_text_is_refused_at_its_line():
    with pytest.raises(CannotImport) as refusal:
        read_yaml(b"teams:\n  - name: \xff\n")
    assert refusal.value.sentences == ["line 2: This is not UTF-8."]


def test_a_table_holds_one_section():
    outcome = importing.carry_out(
        read_csv((EXAMPLES / "identities.csv").read_bytes(), "identities"), name="identities.csv", actor=engineer()
    )
    assert [str(change) for change in outcome.changes] == [
        "line 2: new identity postgres/etl_reader",
        "line 3: new identity postgres/reports_shared",
        "line 5: new identity kubernetes/ns/default",
    ]
    assert Identity.objects.get(subject="etl_reader").known_networks == ["10.1.0.0/16", "10.2.0.0/16"]
    assert Identity.objects.get(subject="reports_shared").attested == {"issuer": "https://issuer.example"}
    command(EXAMPLES / "credentials.csv")
    assert set(Credential.objects.get(kind="db_role").uses.values_list("workflow", flat=True)) == {"daily", "audit"}
    assert command(EXAMPLES / "credentials.csv") == ["0 new, 0 changed, 3 as they were."]


@pytest.mark.parametrize(
    ("text", "section", "sentence"),
    [
        ("provider,subjekt\na,b\n", "identities", "line 1: Column 2 is not known here"),
        ("s3cr3t\n", "identities", "line 1: Column 1 is not known here"),
        ("name,name\na,b\n", "teams", "line 1: Column 2 is not known here, or stands here twice"),
        ("name\na,b\n", "teams", "line 2: teams[0]: 2 cells stand here, and there are 1 columns."),
        ('name,purpose\na,"two\nlines"\nb c,\n', "teams", "line 4: teams[1].name: Letters"),
        ('name\n"a\n', "teams", "line 2: This row cannot be read."),
        ("name,trust\na,much\n", "sources", "line 2: sources[0].trust: A number"),
        ("kind,id,admin_api\ntable,a,maybe\n", "resources", "line 2: resources[0].admin_api: true or false"),
        ("name\na\n", "workflows", "line 1: A table holds one of teams"),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(text, section, sentence):
    with pytest.raises(CannotImport) as refusal:
        importing.carry_out(read_csv(text.encode(), section), name="table.csv", actor=SYSTEM)
    [said] = refusal.value.sentences
    assert sentence in said
    assert "s3cr3t" not in said


def test_a_change_of_the_file_changes_that_and_nothing_else():
    entry = "identities:\n  - {provider: postgres, subject: etl, kind: service_account, reach: wide, tenant: acme}\n"
    carried_out(entry)
    Identity.objects.update(drive="script")
    outcome = carried_out(entry.replace("wide", "team"))
    assert [str(change) for change in outcome.changes] == ["line 2: changed identity postgres/etl: reach wide → team"]
    identity = Identity.objects.get()
    assert (identity.reach, identity.tenant, identity.drive) == ("team", "acme", "script")
    assert recorded(identity.ref) == ["imported postgres/etl", "changed reach wide → team of postgres/etl"]


def test_what_a_detection_discovered_becomes_a_listed_entry():
    make.house()
    make.detected("etl_reader")
    assert Identity.objects.get(subject="etl_reader").discovered_at is not None
    [change] = carried_out("identities:\n  - {provider: postgres, subject: etl_reader, kind: service_account}\n").changes
    assert change.said == "listed, no longer only discovered"
    assert Identity.objects.get(subject="etl_reader").discovered_at is None


def test_a_reach_that_a_connector_read_stays():
    make.identity("etl", reach="estate", reach_from="connector")
    [change] = carried_out("identities:\n  - {provider: postgres, subject: etl, reach: narrow}\n").changes
    assert (change.what, Identity.objects.get().reach) == ("note", "estate")


def test_an_entry_for_an_identity_that_was_merged_is_left_alone():
    other, into = make.identity("other"), make.identity("into")
    inventory.merge(other.pk, into.pk, because="the same", actor=engineer())
    [change] = carried_out("identities:\n  - {provider: postgres, subject: other, reach: narrow}\n").changes
    assert str(change) == "line 2: note postgres/other was left as it is: it was merged into postgres/into"
    assert set(Identity.objects.values_list("reach", flat=True)) == {"wide"}


def test_an_import_takes_the_rights_of_whoever_imports():
    protected = "identities:\n  - {provider: a, subject: b, kind: human, protected: true, protected_because: break-glass}\n"
    [said] = refused(protected, actor=engineer())
    assert "protected.edit" in said
    [said] = refused("sources:\n  - {name: a, trust: 1}\n", actor=cast.person("ines"))
    assert "connector.edit" in said
    assert Identity.objects.count() == Source.objects.count() == 0


def test_an_import_gives_a_source_less_at_once_and_more_with_a_second_person():
    [new, note] = carried_out("sources:\n  - {name: edr, trust: 0.5, ceiling: contain}\n", actor=engineer()).changes
    assert (new.what, note.what) == ("new", "note")
    assert "waits for a second person" in note.said
    assert Source.objects.get().ceiling == "watch"
    assert carried_out("sources:\n  - {name: edr, trust: 0.5, ceiling: contain}\n", actor=engineer()).unchanged == 1
    carried_out("sources:\n  - {name: edr, trust: 0.2, ceiling: contain, rate_per_minute: 5}\n", actor=engineer())
    source = Source.objects.get()
    assert (source.trust, source.rate_per_minute, source.ceiling) == (0.2, 5, "watch")
    assert source.asks.get(state="waiting").wanted == {"ceiling": "contain"}


def test_nobody_in_particular_gives_a_source_no_more():
    Source.objects.create(name="edr", trust=0.5, ceiling="hold")
    [note] = carried_out("sources:\n  - {name: edr, trust: 0.9, ceiling: contain}\n").changes
    assert "--by USERNAME" in str(note)
    assert (Source.objects.get().trust, Source.objects.get().ceiling) == (0.5, "hold")
    assert not Source.objects.get().asks.exists()


def test_an_alias_of_somebody_else_is_refused_with_its_line():
    make.identity("one")
    [said] = refused("identities:\n  - {provider: postgres, subject: two, kind: human, aliases: [postgres/one]}\n")
    assert said == "line 2: identities[0]: postgres/one is an identity of its own. If both are one, merge them."
    assert IdentityAlias.objects.count() == 0
