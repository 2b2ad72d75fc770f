"""A run that rotated a credential says so in the inventory, in the story that proves it: it is not exposed any more, and its former secret
is compared with no report. Where an undo brings the former one back, all of that is undone as well.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q, QuerySet

from audit import clock
from audit.record import record
from connectors.base import Measure
from containment import fingerprints
from containment.models import Credential, Identity
from core.actor import SYSTEM
from core.refs import Ref
from playbooks import told
from playbooks.models import Run, Step


def note(run: Run, step: Step) -> None:
    """Inside the story that proves the step."""
    if step.measure != Measure.CREDENTIAL_ROTATE or not step.performed:
        return
    now = clock.now()
    for credential in _locked(_rotated_by(run, step)):
        if _is_by(credential, step):
            continue
        credential.before_rotation = {
            "by": str(step.ref),
            "secret_digest": credential.secret_digest,
            "rotated_at": credential.rotated_at.isoformat() if credential.rotated_at else "",
        }
        credential.rotated_at, credential.secret_digest = now, ""
        credential.save(update_fields=["rotated_at", "secret_digest", "before_rotation"])
        about = [run.ref, *run.about]
        record("credential.replaced", credential.ref, actor=SYSTEM, about=about, credential=str(credential), because="a run rotated it")


def note_undone(run: Run, step: Step) -> None:
    """Inside the story that puts the step back, by whichever run goes last. One that keeps its new secret, or that people replaced since,
    stays as it is."""
    if step.measure != Measure.CREDENTIAL_ROTATE or step.parameters.get("keep_new") is True:
        return
    for credential in _locked(_rotated_by(run, step).filter(before_rotation__isnull=False)):
        before = credential.before_rotation or {}
        credential.rotated_at = datetime.fromisoformat(before["rotated_at"]) if before["rotated_at"] else None
        credential.secret_digest, credential.before_rotation = before["secret_digest"], None
        credential.save(update_fields=["rotated_at", "secret_digest", "before_rotation"])
        record("credential.put_back", credential.ref, actor=SYSTEM, about=[run.ref, *run.about], credential=str(credential))


def _rotated_by(run: Run, step: Step) -> QuerySet[Credential]:
    """The one of the subject, and the secret that the run is about. One that is a name of its own is rotated under that name alone."""
    identity = Identity.objects.filter(pk=Ref.parse(run.identity_ref).id).first()
    users = [key for key in (identity.pk, identity.merged_into_id) if key] if identity is not None else []
    named = Q(name=run.target["subject"])
    if run.target.get("credential"):
        named |= Q(name=run.target["credential"]) & ~Q(kind__in=sorted(fingerprints.NAMED))
    return Credential.objects.filter(named, provider__in={step.connector, run.target["provider"]}, uses__identity__in=users)


def _locked(rows: QuerySet[Credential]) -> list[Credential]:
    keys = list(rows.values_list("pk", flat=True).distinct()[:20])
    return list(Credential.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=keys).order_by("pk"))


def _is_by(credential: Credential, step: Step) -> bool:
    return (credential.before_rotation or {}).get("by") == str(step.ref)


def listen() -> None:
    """When the room loads."""
    told.register(when_proven=note, when_undone=note_undone)
