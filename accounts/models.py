"""People, their roles and teams, the tokens of programs, and sign-in links. Secrets rest here as digests only.

Nobody is deleted: a person who leaves is deactivated, so that what they did keeps its author.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now

from accounts.roles import Role, Scope
from core.ids import uuid7
from core.refs import Ref

LONGEST_TOKEN_LIFE = timedelta(days=366)


class Person(AbstractUser):
    """Somebody who signs in. `identity_ref` names their entry in the inventory, when they are listed there too."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    display_name = models.TextField()
    identity_ref = models.TextField(blank=True, default="")

    REQUIRED_FIELDS = []

    class Meta:
        db_table = "person"
        constraints = [
            models.UniqueConstraint(Lower("username"), name="no_two_people_share_a_username"),
            models.UniqueConstraint(fields=["identity_ref"], condition=~Q(identity_ref=""), name="an_identity_is_at_most_one_person"),
        ]

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def ref(self) -> Ref:
        return Ref.to("person", self.pk)

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(grant.role for grant in self.role_grants.all())

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self)


class RoleGrant(models.Model):
    """A person has a role because somebody else gave it to them. Nobody gave it: the first administrator, or the trial."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="role_grants")
    role = models.TextField(choices=[(role.value, role.value) for role in Role])
    granted_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    granted_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "role_grant"
        constraints = [
            models.UniqueConstraint(fields=["person", "role"], name="a_person_has_a_role_once"),
            models.CheckConstraint(condition=Q(role__in=[role.value for role in Role]), name="a_role_is_one_we_know"),
            models.CheckConstraint(
                condition=Q(granted_by__isnull=True) | ~Q(granted_by=F("person")),
                name="nobody_gives_themselves_a_role",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person_id} is {self.role}"


class Team(models.Model):
    """People who answer together: the owners of a service, or the fallback group of an environment. Other rooms know it by its name."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.SlugField(max_length=100, unique=True)
    purpose = models.TextField(blank=True, default="")
    members = models.ManyToManyField(Person, related_name="teams", db_table="team_member")

    class Meta:
        db_table = "team"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ServiceToken(models.Model):
    """What a program shows to be let in. It counts as its owner wherever two people are asked for. Its text is shown once. `speaks_for`:
    the one identity of the inventory whose calls it may ask about; such a token speaks for no source."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.TextField()
    digest = models.CharField(max_length=64, unique=True)
    shown = models.TextField()  # enough of the text to recognise it by: hf_ab12…9xYz
    owner = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="tokens")
    scopes = ArrayField(models.TextField())
    source = models.TextField(blank=True, default="")
    speaks_for = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)  # to the minute
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "service_token"
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__contained_by=[scope.value for scope in Scope]) & Q(scopes__len__gt=0),
                name="a_token_has_scopes_that_we_know",
            ),
            models.CheckConstraint(
                condition=~Q(scopes__contains=[Scope.DETECTIONS_WRITE.value]) | ~Q(source=""),
                name="a_token_that_posts_detections_names_its_source",
            ),
            models.CheckConstraint(
                condition=Q(speaks_for="") | (Q(speaks_for__startswith="identity:") & Q(source="")),
                name="a_token_speaks_for_one_identity_or_a_source",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__lte=F("created_at") + LONGEST_TOKEN_LIFE),
                name="no_token_lives_longer_than_a_year",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.shown})"

    @property
    def ref(self) -> Ref:
        return Ref.to("token", self.pk)


class SignInLink(models.Model):
    """A way in that works once: for the first administrator, and for whoever starts the trial."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    digest = models.CharField(max_length=64, unique=True)
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "sign_in_link"

    def __str__(self) -> str:
        return f"a way in for {self.person_id}"
