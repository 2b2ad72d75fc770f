"""An AccessRequest: a program waits for people's word about one call. Changes in requests.py; how it ended is final, by a trigger too."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.db.models import F, Q

from approvals.domain.moves import REQUEST
from approvals.models.hold import Hold
from core.ids import uuid7
from core.refs import Ref

TASK, APPROVAL = "arq_", "apr_"


class AccessRequest(models.Model):
    """One call, one asker, one ending. `question` is the digest of who wants what on what; `asks` is what people are shown of it, masked.

    `hold` is what people answer: the hold of a case (then `run_ref` names its run), or one opened for this call alone. `principal` is who
    counts as the asker, and `asker` which token of theirs (core/actor.py). The words of `never` count nothing here, whoever may answer the
    hold. `uses_max` empty: as often as it is asked until `approved_until`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    principal = models.TextField()
    asker = models.TextField(blank=True, default="", db_default="")
    asked_by = models.TextField()
    key = models.TextField(blank=True, default="")  # the client's Idempotency-Key
    body_digest = models.TextField()
    evaluation = models.UUIDField()
    question = models.TextField()
    asks = models.JSONField()
    justification = models.TextField(blank=True, default="")
    emergency = models.BooleanField(default=False)
    wanted_until = models.DateTimeField(null=True)
    client = models.JSONField(default=dict)
    never = models.JSONField(default=dict)
    identity_ref = models.TextField()
    run_ref = models.TextField(blank=True, default="")
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="requests")
    asked_at = models.DateTimeField()

    state = models.TextField(default="pending")
    closed_at = models.DateTimeField(null=True)
    closed_because = models.TextField(blank=True, default="")

    approval = models.UUIDField(null=True, unique=True)
    approved_until = models.DateTimeField(null=True)
    uses_max = models.PositiveIntegerField(null=True)
    uses = models.PositiveIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True)
    revoked_because = models.TextField(blank=True, default="")

    class Meta:
        db_table = "access_request"
        ordering = ["-asked_at", "-id"]
        indexes = [
            models.Index(fields=["hold", "state"], name="requests_of_a_hold"),
            models.Index(fields=["run_ref"], condition=Q(state="pending"), name="requests_that_wait_for_a_run"),
            models.Index(fields=["identity_ref", "asked_at"], name="requests_of_an_identity"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["principal", "asker", "key"], condition=~Q(key=""), name="one_request_per_key"),
            models.UniqueConstraint(
                fields=["principal", "asker", "question"], condition=Q(state="pending"), name="one_request_waits_per_question"
            ),
            models.CheckConstraint(condition=Q(state__in=sorted(REQUEST.states)), name="a_request_is_in_a_state_we_know"),
            models.CheckConstraint(
                condition=Q(state="pending", closed_at__isnull=True) | (~Q(state="pending") & Q(closed_at__isnull=False)),
                name="a_request_that_ended_says_when",
            ),
            models.CheckConstraint(
                condition=Q(state="approved", approval__isnull=False, approved_until__gt=F("closed_at"))
                | (~Q(state="approved") & Q(approval__isnull=True, approved_until__isnull=True, uses=0)),
                name="only_an_approved_request_has_an_approval",
            ),
            models.CheckConstraint(
                condition=Q(uses_max__isnull=True) | Q(uses_max__gt=0, uses__lte=F("uses_max")), name="an_approval_covers_no_more_calls"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asks.get('what', 'a call')} ({self.state})"

    @property
    def ref(self) -> Ref:
        return Ref.to("access_request", self.pk)

    @property
    def handle(self) -> str:
        """How its asker knows it."""
        return f"{TASK}{self.pk.hex}"

    @property
    def approval_handle(self) -> str:
        return f"{APPROVAL}{self.approval.hex}" if self.approval else ""

    @property
    def waits(self) -> bool:
        return self.state == "pending"

    @property
    def about(self) -> list[Ref]:
        return [self.hold.ref, *(Ref.parse(text) for text in (self.run_ref, self.identity_ref) if text)]


def key_of(handle: object, prefix: str) -> UUID | None:
    """The id in `arq_…` or `apr_…`; None where it is no such handle."""
    if not isinstance(handle, str) or not handle.startswith(prefix) or len(handle) != len(prefix) + 32:
        return None
    try:
        return UUID(hex=handle.removeprefix(prefix))
    except ValueError:
        return None
