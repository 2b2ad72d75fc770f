"""A stretch of acting, and the designation that says why it must not be cut without a person."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from containment.models.identity import Credential, Identity
from core.ids import uuid7
from core.refs import Ref

CLASSES = ("payment", "customer_facing", "long_running_job", "regulated")
GATE_STATES = ("active", "paused", "restricted", "ended")
MINT_STATES = ("standing", "cut", "cleared", "accepted")


class Session(models.Model):
    """Key: (identity, external_id). `origin` says where its connections come from ({address, application}), so that a foreign one can be
    told apart. `gate` is our own gate: what a runtime that asks us is told; `gate_before` is what stood there before the session that it
    works for was closed, for when that one opens. What a client said of its role or workflow is in `claimed`. `heartbeat_seconds`: how
    often it promised a sign of life, `heartbeat_at` when it last gave one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    external_id = models.TextField()
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="sessions")
    credential = models.ForeignKey(Credential, on_delete=models.SET_NULL, null=True, related_name="sessions")
    role = models.TextField(blank=True, default="")
    workflow = models.TextField(blank=True, default="")
    tenant = models.TextField(blank=True, default="")
    environment = models.TextField(blank=True, default="")
    drive = models.TextField(blank=True, default="")
    origin = models.JSONField(default=dict)
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="children")
    intent = models.JSONField(default=dict)
    claimed = models.JSONField(default=dict)
    gate = models.TextField(default="active")
    gate_because = models.TextField(blank=True, default="")
    gate_allows = ArrayField(models.TextField(), default=list)
    gate_key = models.TextField(blank=True, default="")
    gate_before = models.JSONField(default=dict)
    gated_at = models.DateTimeField(null=True)
    registered_by = models.TextField(blank=True, default="")
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    last_seen_at = models.DateTimeField(null=True)
    heartbeat_seconds = models.PositiveIntegerField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    discovered_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "session"
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(fields=["identity", "external_id"], name="one_session_per_identity_and_name"),
            models.CheckConstraint(condition=Q(gate__in=GATE_STATES), name="session_gate_is_known"),
            models.CheckConstraint(condition=Q(parent__isnull=True) | ~Q(parent=F("id")), name="no_session_works_for_itself"),
        ]
        indexes = [
            models.Index(fields=["external_id"], name="session_by_name"),
            models.Index(fields=["expires_at"], condition=Q(ended_at__isnull=True, expires_at__isnull=False), name="session_by_its_end"),
            models.Index(fields=["identity"], condition=Q(ended_at__isnull=True), name="live_session_by_identity"),
            models.Index(
                fields=["credential"], condition=Q(ended_at__isnull=True, credential__isnull=False), name="live_session_by_credential"
            ),
        ]

    def __str__(self) -> str:
        return self.external_id

    @property
    def ref(self) -> Ref:
        return Ref.to("session", self.id)

    @property
    def next_heartbeat_at(self) -> datetime | None:
        """When its next sign of life is due; None where it promised none."""
        if self.heartbeat_seconds is None or self.heartbeat_at is None:
            return None
        return self.heartbeat_at + timedelta(seconds=self.heartbeat_seconds)


class MintedCredential(models.Model):
    """Somebody told that a session made a credential. `vouched`: who told registered the session, or is a feed of what identities do; any
    other word is a claim. When the session is contained, each that still stands is an open item of the case."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="mints")
    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, related_name="mints")
    told_by = models.TextField()
    vouched = models.BooleanField(default=False)
    told_at = models.DateTimeField()
    state = models.TextField(default="standing")
    settled_by = models.TextField(blank=True, default="")
    settled_by_name = models.TextField(blank=True, default="")
    settled_at = models.DateTimeField(null=True)
    because = models.TextField(blank=True, default="")

    class Meta:
        db_table = "minted_credential"
        ordering = ["told_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["session", "credential"], name="one_line_per_minted_credential"),
            models.CheckConstraint(condition=Q(state__in=MINT_STATES), name="state_of_a_minted_credential_is_known"),
            models.CheckConstraint(
                condition=Q(state="standing") | (Q(settled_at__isnull=False) & ~Q(settled_by="")), name="a_settled_mint_says_by_whom"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.credential_id} by {self.session_id}"


class Designation(models.Model):
    """Business-critical, because. For one session or for a whole workflow of an identity. `must_go_on` lists what an interim stage may
    never touch: {"schemas": ["payments"], "reconnect": true}."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="designations")
    session_name = models.TextField(blank=True, default="")
    workflow = models.TextField(blank=True, default="")
    service = models.TextField()
    owner_team = models.TextField()
    kind = models.TextField()
    because = models.TextField()
    stop_cost_per_hour = models.PositiveIntegerField(default=0)
    restart_minutes = models.PositiveIntegerField(default=0)
    safe_stop = models.TextField(blank=True, default="")
    must_go_on = models.JSONField(default=dict)
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    granter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    requested_at = models.DateTimeField()
    granted_at = models.DateTimeField(null=True)
    review_by = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "designation"
        ordering = ["-requested_at"]
        constraints = [
            models.CheckConstraint(condition=Q(granter__isnull=True) | ~Q(granter=F("requester")), name="designation_granted_by_another"),
            models.CheckConstraint(condition=Q(kind__in=CLASSES), name="designation_class_is_known"),
            models.CheckConstraint(condition=~(Q(session_name="") & Q(workflow="")), name="designation_names_session_or_workflow"),
            models.CheckConstraint(
                condition=Q(review_by__lte=F("requested_at") + timedelta(days=90)), name="designation_is_reviewed_in_90_days"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.session_name or self.workflow}"

    @property
    def ref(self) -> Ref:
        return Ref.to("designation", self.id)
