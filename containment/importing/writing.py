"""Brings rows in line with a file's entries, section by section, and keeps a list of what changed.

Called inside one story. Every entry is tried, so that all faults of a file come at once; the caller undoes everything where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import models, transaction

from accounts.models import Person, Team
from audit import clock
from audit.record import record
from containment import designations, documents, intake, inventory, limits
from containment.domain.members import Members
from containment.importing import shapes
from containment.importing.reading import Document
from containment.models import Credential, CredentialUse, Identity, IdentityAlias, Resource, Session, Source
from core.actor import Actor, ActorKind
from core.refs import Ref
from core.refusals import BadInput, Fault, Refusal

Row = TypeVar("Row", bound=models.Model)
LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One line of what an import does. `what`: new, changed, or a note about something left alone."""

    line: int
    what: str
    thing: str
    said: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.what} {self.thing}{f': {self.said}' if self.said else ''}"


class Writer:
    """One import. After `write`, `faults` holds what is wrong with the file; only where there are none do the rows count."""

    def __init__(self, document: Document, actor: Actor) -> None:
        self.faults: list[Fault] = []
        self.changes: list[Change] = []
        self.unchanged = 0
        self._document = document
        self._actor = actor
        self._now = clock.now()
        self._seen: dict[tuple[str, ...], int] = {}
        self._path = ""

    def write(self) -> None:
        """In an order in which whatever an entry names was written before it."""
        work: Mapping[str, Callable[[Members], None]] = {
            "teams": self._team,
            "sources": self._source,
            "resources": self._resource,
            "identities": self._identity,
            "credentials": self._credential,
            "workflows": lambda members: self._work("workflow", members),
            "agent_profiles": lambda members: self._work("agent_profile", members),
            "sessions": self._session,
            "designations": self._designation,
        }
        for section in shapes.SECTIONS:
            for path, entry in self._document.sections.get(section, []):
                self._one(path, entry, work[section])

    def _one(self, path: str, entry: Any, write: Callable[[Members], None]) -> None:
        self._path = path
        before = len(self.changes)
        faults = len(self.faults)
        try:
            with transaction.atomic():
                write(Members(entry, path, self.faults))
        except BadInput as refusal:
            self.faults += refusal.faults
        except Refusal as refusal:
            self.faults.append(Fault(path, refusal.code, refusal.sentence))
        if (before, faults) == (len(self.changes), len(self.faults)):
            self.unchanged += 1

    # -- sections --------------------------------------------------------------------------------------------------------------------------

    def _team(self, members: Members) -> None:
        said = self._read(members, shapes.team)
        self._must("inventory.edit")
        self._once("teams", said["name"])
        self._put("team", said["name"], Team, {"name": said["name"]}, said)

    def _source(self, members: Members) -> None:
        said = self._read(members, shapes.source)
        self._must("connector.edit")
        self._once("sources", said["name"])
        key = {"name": said["name"]}
        existing = Source.objects.select_for_update(of=("self",)).filter(**key).first()
        begins = existing or Source(**key, ceiling=limits.BEGINS_AT)
        at_once, waits = limits.parts(begins, {"ceiling": Source().ceiling, **said} if existing is None else said)
        if existing is None:
            at_once = {**said, "ceiling": limits.BEGINS_AT}
        source = self._put("source", said["name"], Source, key, at_once)
        if not (waits and self._actor.principal):
            limits.lowered(source, at_once, actor=self._actor)
        if waits:
            self._ask(source, waits)

    def _ask(self, source: Source, waits: dict[str, Any]) -> None:
        """What gives a source more takes a second person, by whatever door it comes."""
        names = ", ".join(sorted(waits)).replace("_", " ")
        if not self._actor.principal:
            self._note(f"source {source} ({names})", "giving it more takes a second person. Say who asks for it: --by USERNAME")
        elif limits.ask(source, waits, actor=self._actor):
            self.changes.append(Change(self._line(), "note", f"source {source}", f"{names}: waits for a second person to confirm it"))

    def _resource(self, members: Members) -> None:
        said = self._read(members, shapes.resource)
        self._must("inventory.edit")
        key = {"kind": said.pop("kind"), "key": said.pop("id")}
        self._once("resources", *key.values())
        self._put("resource", f"{key['kind']} {key['key']}", Resource, key, {**said, "discovered_at": None})

    def _identity(self, members: Members) -> None:
        said = self._read(members, shapes.identity)
        self._must("inventory.edit")
        provider, subject = said.pop("provider"), said.pop("subject")
        self._once("identities", provider, subject)
        aliases, reach, protected = said.pop("aliases", []), said.pop("reach", ""), said.pop("protected", None)
        because = said.pop("protected_because", "")
        wanted = self._owned(members, said)
        existing = Identity.objects.select_related("merged_into").filter(provider=provider, subject=subject).first()
        if existing is None and "kind" not in wanted:
            raise BadInput([Fault(members.at("kind"), "missing", "A new identity needs a kind.")])
        if existing is None and (alias := IdentityAlias.objects.filter(provider=provider, subject=subject).first()) is not None:
            self._note(f"{provider}/{subject}", f"it is another name of {alias.identity}")
            return
        if existing is not None and existing.merged_into is not None:
            self._note(str(existing), f"it was merged into {existing.merged_into}")
            return
        wanted |= self._reach(existing, reach)
        key = {"provider": provider, "subject": subject}
        row = self._put("identity", f"{provider}/{subject}", Identity, key, {**wanted, "discovered_at": None}, created_at=self._now)
        self._protect(row, protected, because)
        for alias_provider, alias_subject in aliases:
            self._alias(row, alias_provider, alias_subject)

    def _owned(self, members: Members, said: dict[str, Any]) -> dict[str, Any]:
        if "owner" in said:
            person = Person.objects.filter(username__iexact=said["owner"], is_active=True).first()
            if person is None:
                members.fault("owner", "unknown", "Nobody signs in under this name.")
            said["owner"] = person
        if "owner_team" in said and not Team.objects.filter(name=said["owner_team"]).exists():
            members.fault("owner_team", "unknown", "There is no such team. It can stand in this file, under teams.")
        return said

    def _reach(self, existing: Identity | None, reach: str) -> dict[str, Any]:
        """A connector that read the grants knows better than a file."""
        if not reach or (existing is not None and existing.reach == reach):
            return {}
        if existing is not None and existing.reach_from == "connector":
            self._note(str(existing), f"its reach stays {existing.reach}, as a connector read it")
            return {}
        return {"reach": reach, "reach_from": "unknown" if reach == "unknown" else "typed", "reach_at": self._now}

    def _protect(self, row: Identity, protected: bool | None, because: str) -> None:
        if protected is None or protected == row.protected:
            return
        if protected:
            inventory.protect(row.pk, because, actor=self._actor)
        else:
            inventory.unprotect(row.pk, because or "the imported inventory says so", actor=self._actor)
        self._changed("identity", str(row), "protected" if protected else "no longer protected")

    def _alias(self, row: Identity, provider: str, subject: str) -> None:
        found = intake.find_identity(provider, subject)
        if found is not None and found.pk == row.pk:
            return
        inventory.add_alias(row.pk, provider, subject, actor=self._actor)
        self._changed("identity", str(row), f"also {provider}/{subject}")

    def _credential(self, members: Members) -> None:
        said = self._read(members, shapes.credential)
        self._must("inventory.edit")
        uses, label = said.pop("used_by"), said.pop("label")
        key = {name: said.pop(name) for name in ("provider", "kind", "fingerprint")}
        existing = Credential.objects.filter(**key).first()
        if said.get("protected", False) != (existing.protected if existing else False) and "protected" in said:
            self._must("protected.edit")
        if existing is None:
            said["name"] = label
        row = self._put("credential", f"{key['kind']} {label}", Credential, key, {**said, "discovered_at": None}, created_at=self._now)
        users = [(self._known(reference, path), workflow) for reference, workflow, path in uses]
        for identity, workflow in users:
            if identity is not None:
                self._use(row, identity, workflow)

    def _use(self, credential: Credential, identity: Identity, workflow: str) -> None:
        """What was noted before the workflow was known gives way to what is known."""
        if not workflow and CredentialUse.objects.filter(credential=credential, identity=identity).exists():
            return
        _, made = CredentialUse.objects.get_or_create(credential=credential, identity=identity, workflow=workflow)
        if made:
            if workflow:
                CredentialUse.objects.filter(credential=credential, identity=identity, workflow="").delete()
            said = f"used by {identity}{f' in {workflow}' if workflow else ''}"
            self._changed("credential", str(credential), said)
            record("credential.changed", credential.ref, actor=self._actor, about=[identity.ref], credential=str(credential), changes=said)

    def _session(self, members: Members) -> None:
        said = self._read(members, shapes.session)
        self._must("inventory.edit")
        identity = self._known(said.pop("identity"), members.at("identity"))
        if identity is None:
            return
        inventory.lock(identity.pk)
        name = said.pop("id")
        self._once("sessions", str(identity.pk), name)
        if "credential" in said:
            said["credential"] = self._credential_of(identity, *said["credential"])
        key = {"identity": identity, "external_id": name}
        existing = Session.objects.filter(**key).first()
        if existing is not None and existing.ended_at is not None:
            self._note(f"session {name}", "it has ended")
            return
        said.setdefault("environment", existing.environment if existing and existing.environment else identity.environment)
        fresh = {"started_at": self._now, "last_seen_at": self._now, "registered_by": self._actor.principal}
        self._put("session", f"{name} of {identity}", Session, key, {**said, "discovered_at": None}, **fresh)

    def _credential_of(self, identity: Identity, kind: str, name: str, path: str) -> Credential | None:
        found = list(Credential.objects.filter(kind=kind, name=name, uses__identity=identity).distinct()[:2])
        if len(found) != 1:
            detail = "Several credentials of this identity have this name." if found else "This identity uses no such credential."
            raise BadInput([Fault(path, "unknown", detail)])
        return found[0]

    def _work(self, kind: str, members: Members) -> None:
        if not (name := shapes.document_name(members)):
            return
        self._must("document.author")
        self._author()
        self._once(kind, name)
        body = {member: members.raw(member) for member in members.names() if member != "name"}
        before = documents.latest(kind, name)
        document = documents.draft(kind, name, body, actor=self._actor, path=members.path)
        if before is None or before.pk != document.pk:
            what = f"version {document.version} of the {kind.replace('_', ' ')} {name}"
            self.changes.append(Change(self._line(), "new", what, "a draft; somebody else has to approve it"))

    def _designation(self, members: Members) -> None:
        self._author()
        reference = shapes.identity_of(members)
        wanted = designations.describe(members, now=self._now)
        self._stop_at_faults(members)
        identity = self._known(reference, members.at("identity"))
        if identity is None:
            return
        self._once("designations", str(identity.pk), wanted["session_name"], wanted["workflow"])
        if designations.is_asked(identity, wanted):
            return
        said = {name: members.raw(name) for name in members.names() if name != "identity"}
        asked = designations.request(identity.pk, said, actor=self._actor, path=members.path)
        self.changes.append(
            Change(self._line(), "new", f"designation of {designations.called(asked)}", "a request; somebody else has to grant it")
        )

    # -- shared ----------------------------------------------------------------------------------------------------------------------------

    def _read(self, members: Members, shape: Callable[[Members], dict[str, Any]]) -> dict[str, Any]:
        said = shape(members)
        self._stop_at_faults(members)
        return said

    def _stop_at_faults(self, members: Members) -> None:
        """What has faults is not written; they are in the list already."""
        members.finish()
        if any(fault.path == self._path or fault.path.startswith((f"{self._path}.", f"{self._path}[")) for fault in self.faults):
            raise BadInput([self.faults.pop()])

    def _must(self, permission: str) -> None:
        if self._actor.kind is not ActorKind.SYSTEM and not self._actor.may(permission):
            raise BadInput([Fault(self._path, "forbidden", f"Importing this takes the right “{permission}”.")])

    def _author(self) -> None:
        if not self._actor.principal:
            raise BadInput([Fault(self._path, "missing", "Say who asks for it, so that somebody else can approve it: --by USERNAME.")])

    def _once(self, *key: str) -> None:
        if key in self._seen:
            raise BadInput([Fault(self._path, "twice", f"The same stands on line {self._seen[key]} already.")])
        self._seen[key] = self._line()

    def _known(self, reference: tuple[str, str], path: str) -> Identity | None:
        found = intake.find_identity(*reference)
        if found is None:
            self.faults.append(Fault(path, "unknown", "There is no such identity. It can stand in this file, under identities."))
        return found

    def _put(self, kind: str, label: str, model: type[Row], key: Mapping[str, Any], wanted: Mapping[str, Any], **fresh: Any) -> Row:
        """The row of this key as the entry wants it, with one line and one audit entry where that is something new."""
        manager: models.Manager[Row] = model._default_manager
        row = manager.select_for_update(of=("self",)).filter(**key).first()
        if row is None:
            row = manager.create(**key, **{**fresh, **{name: value for name, value in wanted.items() if name not in key}})
            self.changes.append(Change(self._line(), "new", f"{kind} {label}"))
            self._record(kind, "registered" if kind == "session" else "imported", row, label)
            return row
        differing = {name: value for name, value in wanted.items() if getattr(row, name) != value}
        if differing:
            was = {name: getattr(row, name) for name in differing}
            for name, value in differing.items():
                setattr(row, name, value)
            row.save(update_fields=list(differing))
            said = [_told(name, was[name], value) for name, value in differing.items() if name != "reach_at"]
            self._changed(kind, label, ", ".join(said))
            self._record(kind, "changed", row, label, changes=", ".join(said))
        return row

    def _record(self, kind: str, participle: str, row: models.Model, label: str, **facts: Any) -> None:
        about = [row.identity.ref] if isinstance(row, Session) else []
        record(f"{kind}.{participle}", Ref.to(kind, str(row.pk)), actor=self._actor, about=about, **{**facts, kind: label})

    def _changed(self, kind: str, label: str, said: str) -> None:
        self.changes.append(Change(self._line(), "changed", f"{kind} {label}", said))

    def _note(self, thing: str, said: str) -> None:
        self.changes.append(Change(self._line(), "note", f"{thing} was left as it is", said))

    def _line(self) -> int:
        return self._document.lines.of(self._path)


def _told(name: str, was: Any, now: Any) -> str:
    if name == "discovered_at":
        return "listed, no longer only discovered"
    if name == "secret_digest":
        return "can be compared with reports of leaks"
    return f"{name.replace('_', ' ')} {_shown(was)} → {_shown(now)}"


def _shown(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return "–"
        case list():
            return ", ".join(str(item) for item in value)[:LONGEST_SHOWN]
        case dict():
            return ", ".join(f"{name}: {item}" for name, item in sorted(value.items()))[:LONGEST_SHOWN]
    return str(value)[:LONGEST_SHOWN]
