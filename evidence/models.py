"""Artefacts, their sealed bytes, and who touched them. All rows are final."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from core.ids import uuid7
from core.refs import Ref

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class Artefact(models.Model):
    """One piece of evidence. `sha256` and `size` are of the content as it was sealed, after redaction."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sha256 = models.TextField()
    name = models.TextField()
    media_type = models.TextField()
    size = models.PositiveBigIntegerField()
    redactions = models.PositiveIntegerField(default=0)
    key_id = models.TextField()
    run_ref = models.TextField()
    case_ref = models.TextField()
    identity_ref = models.TextField()
    collected_at = models.DateTimeField()
    collected_by = models.TextField()  # the actor, as the audit trail names it

    if TYPE_CHECKING:
        custody: RelatedManager[Custody]

    class Meta:
        db_table = "artefact"
        ordering = ["collected_at", "id"]
        indexes = [
            models.Index(fields=["case_ref", "collected_at"], name="artefacts_of_a_case"),
            models.Index(fields=["sha256"], name="artefacts_by_content"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["run_ref", "name", "sha256"], name="the_same_content_is_sealed_once_per_run"),
            models.CheckConstraint(
                condition=models.Q(sha256__regex=r"^sha256:[0-9a-f]{64}$"), name="an_artefact_is_addressed_by_its_content"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def ref(self) -> Ref:
        return Ref.to("evidence", self.pk)

    @property
    def about(self) -> list[Ref]:
        return [Ref.parse(text) for text in (self.run_ref, self.case_ref, self.identity_ref) if text]


class SealedBytes(models.Model):
    """Where store.py puts what was sealed."""

    artefact = models.OneToOneField(Artefact, on_delete=models.PROTECT, primary_key=True, related_name="+")
    content = models.BinaryField()

    class Meta:
        db_table = "artefact_sealed"

    def __str__(self) -> str:
        return f"the sealed bytes of {self.artefact_id}"


class Custody(models.Model):
    """The n-th touch of an artefact: by whom, what for, and the digest that was found. A gap in n is a missing touch."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    artefact = models.ForeignKey(Artefact, on_delete=models.PROTECT, related_name="custody")
    n = models.PositiveIntegerField()
    at = models.DateTimeField()
    actor = models.TextField()
    actor_name = models.TextField()
    act = models.TextField()
    sha256_seen = models.TextField(blank=True)  # empty: the seal was broken, nothing could be read

    class Meta:
        db_table = "custody"
        ordering = ["artefact", "n"]
        constraints = [
            models.UniqueConstraint(fields=["artefact", "n"], name="custody_is_numbered_without_gaps"),
            models.CheckConstraint(condition=models.Q(n__gt=0), name="custody_starts_at_one"),
            models.CheckConstraint(condition=models.Q(act__in=["sealed", "viewed", "found_broken"]), name="a_touch_is_of_a_kind_we_know"),
        ]

    def __str__(self) -> str:
        return f"{self.n}: {self.act} by {self.actor_name}"
