"""One run of a grouped hold, and what people are shown of it. Changes in groups.py; what was asked is frozen, by a trigger too."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from approvals.domain.moves import MEMBER
from approvals.models.hold import Hold
from core.ids import uuid7
from core.refs import Ref


class GroupMember(models.Model):
    """`list_digest` covers this plan and, link by link, every one that joined before it: it names the list as somebody saw it then.

    `asks` is what this one brings to the terms of its group: quorum, who never counts, and the versions under its plan's digest. `next_at`
    is set once its group has ended, until what people said was done to its run; `strikes` counts the attempts that nobody saw the end of.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="members")
    seq = models.PositiveIntegerField()
    run_ref = models.TextField()
    case_ref = models.TextField()
    identity_ref = models.TextField()
    name = models.TextField()
    kind = models.TextField()
    environment = models.TextField(blank=True, default="")
    title = models.TextField()
    because = models.TextField()
    risk = models.DecimalField(max_digits=4, decimal_places=1)
    plan_digest = models.TextField()
    list_digest = models.TextField()
    asks = models.JSONField(default=dict)
    joined_at = models.DateTimeField()

    state = models.TextField(default="waiting")
    next_at = models.DateTimeField(null=True)
    strikes = models.PositiveSmallIntegerField(default=0)
    closed_at = models.DateTimeField(null=True)
    closed_because = models.TextField(blank=True, default="")

    class Meta:
        db_table = "hold_member"
        ordering = ["hold", "seq"]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="members_to_follow"),
            models.Index(fields=["identity_ref"], name="members_by_identity"),
            models.Index(fields=["case_ref"], name="members_by_case"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["hold", "seq"], name="one_place_in_the_list_per_member"),
            models.UniqueConstraint(fields=["run_ref"], condition=Q(state="waiting"), name="a_run_waits_in_one_group"),
            models.CheckConstraint(condition=Q(state__in=sorted(MEMBER.states)), name="a_member_is_in_a_state_we_know"),
            models.CheckConstraint(
                condition=Q(state="waiting", closed_at__isnull=True)
                | (~Q(state="waiting") & Q(closed_at__isnull=False, next_at__isnull=True)),
                name="a_member_that_is_settled_says_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.title}"

    @property
    def about(self) -> list[Ref]:
        """The things whose pages show what happens to this member."""
        return [Ref.parse(text) for text in (self.run_ref, self.case_ref, self.identity_ref)]
