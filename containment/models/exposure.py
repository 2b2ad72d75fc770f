"""Exposures: what somebody reported leaked, as one group. Each credential of it is a member; each user of a member gets a detection."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from containment.models.detection import Detection, Source
from containment.models.identity import Credential
from core.ids import uuid7
from core.refs import Ref


class Exposure(models.Model):
    """One report per (source, external id), for ever. `next_at` is set until every member was passed on: unfinished, it is due work."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="exposures")
    external_id = models.TextField()
    body_digest = models.TextField()
    where = models.TextField()
    note = models.TextField(blank=True, default="")
    store = models.TextField(blank=True, default="")
    found_at = models.DateTimeField()
    received_at = models.DateTimeField()
    posted_by = models.TextField(blank=True, default="")
    observed_because = models.TextField(blank=True, default="")
    state = models.TextField(default="passing_on")
    next_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "exposure"
        ordering = ["-received_at"]
        constraints = [
            models.UniqueConstraint(fields=["source", "external_id"], name="one_exposure_per_source_and_external_id"),
            models.CheckConstraint(
                condition=Q(state="passed_on", next_at__isnull=True) | Q(state="passing_on", next_at__isnull=False),
                name="an_exposure_that_is_not_passed_on_is_due",
            ),
        ]
        indexes = [models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="exposure_due")]

    def __str__(self) -> str:
        return f"what leaked at {self.where}"

    @property
    def ref(self) -> Ref:
        return Ref.to("exposure", self.id)


class ExposureMember(models.Model):
    """A credential of the report, or an entry that fits none of ours (`unknown`), or that stands there already
    (`twice`). `place` is its index in the report; of a store, 0 on. `strikes`: how often passing it on failed; after three it is
    `set_aside`, and `said` tells why."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    exposure = models.ForeignKey(Exposure, on_delete=models.PROTECT, related_name="members")
    place = models.PositiveIntegerField()
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, null=True, related_name="exposures")
    named = models.TextField()
    found_by = models.TextField(blank=True, default="")
    verified = models.BooleanField(default=False)
    state = models.TextField(default="waiting")
    said = models.TextField(blank=True, default="")
    strikes = models.PositiveSmallIntegerField(default=0)
    detections = models.ManyToManyField(Detection, related_name="exposed", db_table="exposure_detection")

    class Meta:
        db_table = "exposure_member"
        ordering = ["exposure", "place", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["exposure", "credential"], condition=Q(credential__isnull=False), name="a_credential_is_once_in_an_exposure"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "passed_on", "set_aside", "unknown", "twice"]), name="state_of_an_exposed_one_is_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["unknown", "twice"]) | Q(credential__isnull=False), name="what_is_passed_on_is_a_credential"
            ),
        ]
        indexes = [
            models.Index(fields=["exposure", "place", "id"], condition=Q(state="waiting"), name="exposed_and_waiting"),
            models.Index(fields=["exposure", "state"], name="exposed_by_state"),
        ]

    def __str__(self) -> str:
        return self.named
