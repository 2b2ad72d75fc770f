"""What integrations posted. One row per (source, external id), for ever: a repeated delivery finds the first answer."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from containment.models.identity import Credential, Identity
from containment.models.resource import Resource
from containment.models.session import Session
from core.ids import uuid7
from core.refs import Ref


class Source(models.Model):
    """Reads one kind of inbound message. The name comes from the token that posts. `ceiling` is the most that its word alone may lead
    to; an event older than `max_age_seconds` is held at most. `budget_per_hour`: how many distinct identities it may bring to
    containment in an hour. Over its rate or its budget it observes until `observes_until` (None: until a person lets it act again).
    `teaches`: an engineer said that it is a feed of what identities do, so that what it tells may become usual.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.TextField(unique=True)
    reads = models.TextField(default="native")
    trust = models.FloatField(default=0.9)
    ceiling = models.TextField(default="contain")
    kinds = ArrayField(models.TextField(), default=list)
    providers = ArrayField(models.TextField(), default=list)
    budget_per_hour = models.PositiveIntegerField(default=60)
    rate_per_minute = models.PositiveIntegerField(default=6000)
    max_age_seconds = models.PositiveIntegerField(null=True)
    teaches = models.BooleanField(default=False, db_default=False)
    state = models.TextField(default="active")
    observes_because = models.TextField(blank=True, default="")
    observes_until = models.DateTimeField(null=True)

    class Meta:
        db_table = "source"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["active", "observing"]), name="source_state_is_known"),
            models.CheckConstraint(condition=Q(state="active") | ~Q(observes_because=""), name="a_source_that_observes_says_why"),
            models.CheckConstraint(condition=Q(trust__gte=0) & Q(trust__lte=1), name="source_trust_is_a_share"),
            models.CheckConstraint(condition=Q(ceiling__in=["watch", "hold", "contain"]), name="source_ceiling_is_known"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def ref(self) -> Ref:
        return Ref.to("source", self.id)


class SourceMeter(models.Model):
    """How much a source posts: a bucket that fills with each message and empties at the allowed rate, and the counts of this minute and
    the one before. Written for every message in a transaction of its own, and not kept over a crash of the database (see limits.py).
    """

    source = models.OneToOneField(Source, on_delete=models.CASCADE, primary_key=True, related_name="meter")
    level = models.FloatField()
    minute = models.DateTimeField()
    in_minute = models.PositiveIntegerField()
    minute_before = models.PositiveIntegerField(default=0)
    at = models.DateTimeField()

    class Meta:
        db_table = "source_meter"

    def __str__(self) -> str:
        return f"{self.source_id}: {self.in_minute} this minute"


class SourceAlarm(models.Model):
    """A source went over a limit and observes since. At most one is open per source; `limit` is the allowed number then.
    `pardoned`: a person let it act again, with a fresh budget."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="alarms")
    over = models.TextField()
    limit = models.PositiveIntegerField(null=True)
    because = models.TextField()
    raised_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_because = models.TextField(blank=True, default="")
    pardoned = models.BooleanField(default=False)

    class Meta:
        db_table = "source_alarm"
        ordering = ["-raised_at"]
        constraints = [
            models.UniqueConstraint(fields=["source"], condition=Q(ended_at__isnull=True), name="one_open_alarm_per_source"),
            models.CheckConstraint(condition=Q(over__in=["rate", "budget", "person"]), name="what_a_source_went_over_is_known"),
        ]

    def __str__(self) -> str:
        return self.because

    @property
    def ref(self) -> Ref:
        return Ref.to("alarm", self.id)


class Detection(models.Model):
    """A claim about one identity, action and resource. `next_at` is set until it is decided: an undecided detection is due work.
    `observed_because`: its source was only observed when it arrived.
    `noticed` is what the baseline and the trail said at the moment of an observed activity; empty, they are asked when it is decided.
    `called` is the tool call that it tells of and the intent of its session, both as they stood then."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT)
    external_id = models.TextField()
    body_digest = models.TextField()
    title = models.TextField()
    severity = models.TextField()
    confidence = models.FloatField()
    claims = ArrayField(models.TextField(), default=list)
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="detections")
    session = models.ForeignKey(Session, on_delete=models.PROTECT, null=True, related_name="detections")
    named_session = models.TextField(blank=True, default="")
    named_role = models.TextField(blank=True, default="")
    named_workflow = models.TextField(blank=True, default="")
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, null=True, related_name="detections")
    resource = models.ForeignKey(Resource, on_delete=models.PROTECT, null=True, related_name="detections")
    action = models.TextField()
    action_count = models.PositiveIntegerField(default=1)
    context = models.JSONField(default=dict)
    workload = models.JSONField(default=dict)
    noticed = models.JSONField(default=dict)
    called = models.JSONField(default=dict)
    claimed_kind = models.TextField(blank=True, default="")
    posted_by = models.TextField(blank=True, default="")
    observed_because = models.TextField(blank=True, default="")
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    state = models.TextField(default="received")
    next_at = models.DateTimeField(null=True)
    crash_count = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "detection"
        ordering = ["-received_at"]
        constraints = [
            models.UniqueConstraint(fields=["source", "external_id"], name="one_detection_per_source_and_external_id"),
            models.CheckConstraint(
                condition=Q(state__in=["decided", "quarantined"]) | Q(state="received", next_at__isnull=False),
                name="an_undecided_detection_is_due",
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="detection_due"),
            models.Index(fields=["identity", "received_at"], name="detection_by_identity"),
            models.Index(fields=["source", "received_at"], name="detection_by_source"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def ref(self) -> Ref:
        return Ref.to("detection", self.id)


class DetectionBody(models.Model):
    """The bytes as they came, secrets masked."""

    detection = models.OneToOneField(Detection, on_delete=models.CASCADE, primary_key=True, related_name="body")
    content = models.TextField()

    class Meta:
        db_table = "detection_body"

    def __str__(self) -> str:
        return str(self.detection_id)
