"""An ExceptionGrant: somebody's signed, ending promise that certain containments spare something. Changes in grants.py."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from approvals.domain.moves import GRANT
from core.ids import uuid7
from core.refs import Ref


class ExceptionGrant(models.Model):
    """Asked for by one person, signed by another. The budget is how many containments, and how much risk in all, may pass."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    scope = models.JSONField()
    reason = models.TextField()
    ticket = models.TextField(blank=True, default="")
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    granter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    asked_at = models.DateTimeField()
    granted_at = models.DateTimeField(null=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    budget_count = models.PositiveIntegerField()
    budget_risk = models.DecimalField(max_digits=9, decimal_places=1)
    used_count = models.PositiveIntegerField(default=0)
    used_risk = models.DecimalField(max_digits=9, decimal_places=1, default=0)
    reminded_at = models.DateTimeField(null=True)  # that it ends soon
    state = models.TextField(default="asked")
    closed_at = models.DateTimeField(null=True)
    closed_because = models.TextField(blank=True, default="")

    class Meta:
        db_table = "exception_grant"
        ordering = ["-asked_at"]
        indexes = [models.Index(fields=["ends_at"], condition=Q(state__in=["asked", "granted"]), name="exceptions_that_will_end")]
        constraints = [
            models.CheckConstraint(
                condition=Q(granter__isnull=True) | ~Q(granter=F("requester")), name="nobody_grants_their_own_exception"
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="an_exception_ends_after_it_starts"),
            models.CheckConstraint(condition=Q(state__in=sorted(GRANT.states)), name="an_exception_is_in_a_state_we_know"),
            models.CheckConstraint(
                condition=~Q(state__in=["granted", "revoked"]) | (Q(granter__isnull=False) & Q(granted_at__isnull=False)),
                name="an_exception_in_force_was_signed",
            ),
            models.CheckConstraint(
                condition=(Q(state__in=["asked", "granted"]) & Q(closed_at__isnull=True))
                | (~Q(state__in=["asked", "granted"]) & Q(closed_at__isnull=False)),
                name="an_exception_that_ended_says_when",
            ),
            models.CheckConstraint(
                condition=Q(used_count__lte=F("budget_count")) & Q(used_risk__lte=F("budget_risk")) & Q(used_risk__gte=0),
                name="an_exception_spares_no_more_than_its_budget",
            ),
            models.CheckConstraint(condition=Q(budget_count__gt=0) & Q(budget_risk__gt=0), name="an_exception_has_a_budget"),
        ]

    def __str__(self) -> str:
        return self.reason

    @property
    def ref(self) -> Ref:
        return Ref.to("grant", self.pk)

    def in_force(self, at: datetime) -> bool:
        return self.state == "granted" and self.starts_at <= at < self.ends_at
