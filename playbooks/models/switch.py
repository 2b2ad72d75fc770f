"""The kill switch: one row that every process reads before it acts outside."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

POSITIONS = ("off", "no_new", "nothing")
HARDNESS = {position: index for index, position in enumerate(POSITIONS)}


class KillSwitch(models.Model):
    """off: everything works. no_new: no new containment; undo and interim release work. nothing: no step goes out at all.

    Always the row 1. `lift_*`: somebody asked to switch it off (or to the milder position), which takes another person's word. Once that
    is given, they stay as they are beside it, until it is turned again.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    position = models.TextField(default="off")
    because = models.TextField(default="")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(null=True)
    lift_to = models.TextField(default="")
    lift_because = models.TextField(default="")
    lift_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    lift_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "kill_switch"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="there_is_one_kill_switch"),
            models.CheckConstraint(condition=Q(position__in=POSITIONS), name="position_of_the_kill_switch_is_known"),
            models.CheckConstraint(
                condition=Q(position="off") | (Q(by__isnull=False) & Q(at__isnull=False)), name="a_kill_switch_that_is_on_says_by_whom"
            ),
            models.CheckConstraint(
                condition=~Q(lift_to=F("position")) | ~Q(by=F("lift_by")), name="a_milder_kill_switch_is_two_peoples_word"
            ),
            models.CheckConstraint(
                condition=~Q(position="off") | Q(by__isnull=True) | Q(lift_to="off", lift_by__isnull=False),
                name="a_kill_switch_goes_off_by_what_was_asked",
            ),
        ]

    @property
    def is_asked(self) -> bool:
        """Whether somebody asks for a milder position, and nobody has agreed yet."""
        return self.lift_to not in ("", self.position)

    def __str__(self) -> str:
        return f"kill switch {self.position}"
