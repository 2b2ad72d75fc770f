"""Who or what acts, and with which credentials."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from core.ids import uuid7
from core.refs import Ref

KINDS = ("human", "service_account", "workload", "ci_pipeline", "ai_agent")
REACHES = ("narrow", "team", "wide", "estate", "unknown")
DRIVES = ("human", "script", "autonomous")
USUAL_DRIVE = {"human": "human", "service_account": "script", "workload": "script", "ci_pipeline": "script", "ai_agent": "autonomous"}


class Identity(models.Model):
    """Key: (provider, subject). `reach` is how much it could touch; `reach_from` says whether a connector read it, a person typed it, or
    nobody knows. `attested` is what its workload identity should look like (issuer, subject, audience, image, network, environment)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.TextField()
    subject = models.TextField()
    kind = models.TextField()
    name = models.TextField(blank=True, default="")
    environment = models.TextField(default="prod")
    tenant = models.TextField(blank=True, default="")
    owner_team = models.TextField(blank=True, default="")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    reach = models.TextField(default="unknown")
    reach_from = models.TextField(default="unknown")
    reach_at = models.DateTimeField(null=True)
    drive = models.TextField(blank=True, default="")
    known_networks = ArrayField(models.TextField(), default=list)
    attested = models.JSONField(default=dict)
    protected = models.BooleanField(default=False)
    protected_because = models.TextField(blank=True, default="")
    discovered_at = models.DateTimeField(null=True)
    discovered_by = models.TextField(blank=True, default="", db_default="")  # by which source, where the guard was asked first
    last_seen_at = models.DateTimeField(null=True)
    merged_into = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="merged")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "identity"
        ordering = ["provider", "subject"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "subject"], name="one_identity_per_provider_and_subject"),
            models.CheckConstraint(condition=Q(kind__in=KINDS), name="identity_kind_is_known"),
            models.CheckConstraint(condition=Q(reach__in=REACHES), name="identity_reach_is_known"),
        ]
        indexes = [
            models.Index(fields=["kind"], condition=Q(merged_into__isnull=True), name="identities_of_a_kind"),
            models.Index(fields=["provider", "subject"], condition=Q(protected=True), name="protected_identities"),
            models.Index(fields=["discovered_by", "discovered_at"], condition=~Q(discovered_by=""), name="identity_by_who_found_it"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.subject}"

    @property
    def ref(self) -> Ref:
        return Ref.to("identity", self.id)

    @property
    def usual_drive(self) -> str:
        return self.drive or USUAL_DRIVE[self.kind]

    @property
    def label(self) -> str:
        return self.name or self.subject


class IdentityAlias(models.Model):
    """Another name of the same identity, in this provider or another. Protection and containment follow aliases."""

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="aliases")
    provider = models.TextField()
    subject = models.TextField()

    class Meta:
        db_table = "identity_alias"
        constraints = [models.UniqueConstraint(fields=["provider", "subject"], name="one_identity_per_alias")]

    def __str__(self) -> str:
        return f"{self.provider}/{self.subject}"


class Credential(models.Model):
    """What an identity acts with: a keyed fingerprint, never the secret. `planted` marks a honeytoken. `secret_digest` is keyed too, over
    the SHA-256 of the secret, so that a report of a leak can be compared without anybody sending the secret. `store` is where it is kept,
    as provider/name. A rotation after `exposed_at` ends an exposure; `before_rotation` is what a run that rotated it found.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.TextField()
    kind = models.TextField()
    fingerprint = models.TextField()
    name = models.TextField(blank=True, default="")
    ephemeral = models.BooleanField(default=False)
    planted = models.BooleanField(default=False)
    protected = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True)
    exposed_at = models.DateTimeField(null=True)
    exposure_verified = models.BooleanField(default=False)
    exposed_where = models.TextField(blank=True, default="")
    rotated_at = models.DateTimeField(null=True)
    store = models.TextField(blank=True, default="")
    secret_digest = models.TextField(blank=True, default="")
    before_rotation = models.JSONField(null=True)
    minted_by = models.ForeignKey("containment.Session", on_delete=models.SET_NULL, null=True, related_name="minted")
    discovered_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "credential"
        ordering = ["provider", "kind", "fingerprint"]
        constraints = [models.UniqueConstraint(fields=["provider", "kind", "fingerprint"], name="one_credential_per_fingerprint")]
        indexes = [
            models.Index(fields=["store", "id"], condition=~Q(store=""), name="credential_by_store"),
            models.Index(fields=["secret_digest"], condition=~Q(secret_digest=""), name="credential_by_secret_digest"),
            models.Index(fields=["fingerprint"], name="credential_by_fingerprint"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.fingerprint[:12]}"

    @property
    def ref(self) -> Ref:
        return Ref.to("credential", self.id)


class CredentialUse(models.Model):
    """Who uses a credential, in which workflow. More than one line makes it shared."""

    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, related_name="uses")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="credential_uses")
    workflow = models.TextField(blank=True, default="")
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "credential_use"
        constraints = [models.UniqueConstraint(fields=["credential", "identity", "workflow"], name="one_line_per_user_of_a_credential")]

    def __str__(self) -> str:
        return f"{self.credential_id} by {self.identity_id} in {self.workflow or 'any workflow'}"
