"""A Hold: a run that waits for people. Changes in holds.py; what the plan and the terms say is frozen when it opens, by a trigger too."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from approvals.domain.moves import HOLD
from approvals.domain.quorum import Terms
from core.ids import uuid7
from core.refs import Ref

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from approvals.models.answer import Answer
    from approvals.models.member import GroupMember
    from approvals.models.request import AccessRequest

ACCESS_REQUEST = "access_request"  # the class of a hold that asks about one call, and about no run
RAISES = "raises"  # in the plan of a hold that asks for the next stage of a run: which


class Hold(models.Model):
    """Answered, lapsed or withdrawn, and then final. `plan` is what people are shown, and `plan_digest` covers exactly that.

    One of the class `access_request` asks about one call of a program: approved lets it be made, and silence does not.
    A *grouped* one asks about many runs at once: its members, whose list `plan_digest` covers. While it `gathers`, others may join.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run_ref = models.TextField()
    case_ref = models.TextField()
    identity_ref = models.TextField()
    title = models.TextField()
    reason_class = models.TextField()  # payment, long_running_job, protected, thin, budget, access_request …
    because = models.TextField()
    plan = models.JSONField()
    plan_digest = models.TextField()
    terms = models.JSONField()

    opened_at = models.DateTimeField()
    deadline = models.DateTimeField()
    patience_s = models.PositiveIntegerField()
    on_lapse = models.TextField()  # what silence until this deadline means
    in_the_end = models.TextField()  # what it means once the last reviewers were asked
    lapsed_to = models.TextField(blank=True, default="")  # what the last deadline that passed led to
    asked_again = models.BooleanField(default=False)  # the last reviewers, because a deadline was found late
    keep_interim_s = models.PositiveIntegerField(default=0)
    extensions = models.PositiveSmallIntegerField(default=0)
    extensions_max = models.PositiveSmallIntegerField()

    grouped = models.BooleanField(default=False)
    gathers = models.BooleanField(default=False)
    gathers_until = models.DateTimeField(null=True)
    asks_team = models.TextField(blank=True, default="")  # of a grouped one: who answers for the environments of its members

    state = models.TextField(default="open")
    closed_at = models.DateTimeField(null=True)
    closed_because = models.TextField(blank=True, default="")
    closed_by = models.TextField(blank=True, default="")  # a name, for the sentence that the next person meets

    if TYPE_CHECKING:
        answers: RelatedManager[Answer]
        members: RelatedManager[GroupMember]
        requests: RelatedManager[AccessRequest]

    class Meta:
        db_table = "hold"
        ordering = ["deadline"]
        indexes = [
            models.Index(fields=["deadline"], condition=Q(state="open"), name="holds_that_are_open"),
            models.Index(fields=["case_ref"], name="holds_of_a_case"),
            models.Index(fields=["identity_ref"], name="holds_of_an_identity"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["run_ref"], condition=Q(state="open", grouped=False) & ~Q(run_ref=""), name="one_open_hold_per_run"
            ),
            models.CheckConstraint(
                condition=Q(grouped=True) | ~Q(run_ref="") | Q(reason_class=ACCESS_REQUEST),
                name="a_hold_without_a_run_is_about_many_or_a_call",
            ),
            models.CheckConstraint(
                condition=~Q(reason_class=ACCESS_REQUEST) | (~Q(on_lapse="contain") & Q(run_ref="", grouped=False, in_the_end="release")),
                name="silence_never_allows_a_call",
            ),
            models.UniqueConstraint(fields=["asks_team"], condition=Q(gathers=True), name="one_group_per_team_takes_members"),
            models.CheckConstraint(condition=Q(gathers=False) | Q(grouped=True, state="open"), name="only_an_open_group_takes_members"),
            models.CheckConstraint(
                condition=Q(grouped=False, gathers_until__isnull=True) | Q(grouped=True, gathers_until__isnull=False, run_ref=""),
                name="a_group_is_about_its_members",
            ),
            models.CheckConstraint(
                condition=Q(grouped=False) | (~Q(on_lapse="contain") & Q(in_the_end="release")), name="silence_never_contains_a_group"
            ),
            models.CheckConstraint(condition=Q(state__in=sorted(HOLD.states)), name="a_hold_is_in_a_state_we_know"),
            models.CheckConstraint(
                condition=(Q(state="open") & Q(closed_at__isnull=True)) | (~Q(state="open") & Q(closed_at__isnull=False)),
                name="a_hold_that_ended_says_when",
            ),
            models.CheckConstraint(
                condition=Q(on_lapse__in=["contain", "release", "escalate"]) & Q(in_the_end__in=["contain", "release"]),
                name="a_hold_says_what_silence_means",
            ),
            models.CheckConstraint(condition=Q(on_lapse="escalate") | Q(on_lapse=models.F("in_the_end")), name="silence_means_one_thing"),
            models.CheckConstraint(
                condition=~Q(reason_class="protected") | (~Q(on_lapse="contain") & Q(in_the_end="release")),
                name="silence_never_contains_the_protected",
            ),
            models.CheckConstraint(
                condition=(Q(state="lapsed") & Q(lapsed_to__in=["contain", "release"]))
                | (~Q(state="lapsed") & Q(lapsed_to__in=["", "escalated"])),
                name="a_lapsed_hold_says_what_followed",
            ),
            models.CheckConstraint(condition=Q(patience_s__gt=0), name="a_hold_waits_some_time"),
            models.CheckConstraint(condition=Q(extensions__lte=models.F("extensions_max")), name="more_time_is_bounded"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def ref(self) -> Ref:
        return Ref.to("hold", self.pk)

    @property
    def about(self) -> list[Ref]:
        """The other things whose pages show this hold."""
        return [Ref.parse(text) for text in (self.run_ref, self.case_ref, self.identity_ref) if text]

    @property
    def patience(self) -> timedelta:
        return timedelta(seconds=self.patience_s)

    @property
    def keep_interim(self) -> timedelta:
        return timedelta(seconds=self.keep_interim_s)

    @property
    def asks_about_a_call(self) -> bool:
        return self.reason_class == ACCESS_REQUEST

    @property
    def asks_for_more(self) -> bool:
        """Whether it asks for the next stage of a run whose first one was carried out."""
        return RAISES in (self.plan or ())

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    def as_terms(self) -> Terms:
        return Terms.from_json(self.terms)
