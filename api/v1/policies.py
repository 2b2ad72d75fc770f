"""Risk policies: versions and their texts; drafting, checking and approving them. Writing is for people, never for a token."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Strict, Text, read
from api.lists import Listing, One, by_flag, by_id, by_text, found
from api.routes import Endpoint
from containment import policies, policy_approvals
from containment.domain.yaml_reader import MOST
from containment.models import PolicyApproval, RiskPolicyVersion

VERSIONS = RiskPolicyVersion.objects.select_related("author", "approver").prefetch_related("approvals__person")
EXAMPLE = {"digest": "sha256:" + "0" * 64, "acknowledged": True}


class ApprovalShape(serializers.ModelSerializer[PolicyApproval]):
    person = serializers.CharField(source="person.__str__")
    against = serializers.UUIDField(source="base_id", allow_null=True, help_text="the version in force that it was compared with")

    class Meta:
        model = PolicyApproval
        fields = ["person", "against", "digest", "untested", "at"]


class PolicyBrief(serializers.ModelSerializer[RiskPolicyVersion]):
    author = serializers.CharField(allow_null=True, help_text="null: shipped with Holdfast")
    approvals = ApprovalShape(many=True)
    supersedes = serializers.UUIDField(source="supersedes_id", allow_null=True)
    url = serializers.SerializerMethodField()

    class Meta:
        model = RiskPolicyVersion
        fields = [
            *("id", "version", "state", "digest", "shipped", "loosens_only", "author", "approvals", "approvals_needed"),
            *("supersedes", "drafted_at", "in_force_at", "shadow_since", "shadow_until", "url"),
        ]

    def get_url(self, version: RiskPolicyVersion) -> str:
        return f"/policy/{version.pk}/"


class ChangeShape(serializers.Serializer[Any]):
    path = serializers.CharField()
    way = serializers.CharField(help_text="tighter, looser or neutral")
    said = serializers.CharField()


class NextShape(serializers.Serializer[Any]):
    """What putting a draft in force takes now."""

    against = serializers.UUIDField(source="base.pk", allow_null=True, help_text="the version in force that it is compared with")
    changes = ChangeShape(many=True)
    needed = serializers.IntegerField(help_text="people: two where anything is tighter")
    missing = serializers.IntegerField()


class PolicyShape(PolicyBrief):
    approval = serializers.SerializerMethodField(help_text="of a draft or a shadow; null otherwise")

    class Meta(PolicyBrief.Meta):
        fields = [*PolicyBrief.Meta.fields, "text", "approval"]

    @extend_schema_field(NextShape(allow_null=True))
    def get_approval(self, version: RiskPolicyVersion) -> Any:
        waits = policies.POLICY.allows(version.state, "approve") and not policies.check(version.text)
        return NextShape(policy_approvals.what_it_takes(version)).data if waits else None


class TextForm(Strict):
    text = Text(max_length=MOST, trim_whitespace=False, help_text="the whole document, as YAML")


class ApproveForm(Strict):
    digest = Text(max_length=100, help_text="of the text that was read")
    acknowledged = serializers.BooleanField(help_text="what this policy can never reach was read")
    against = serializers.UUIDField(required=False, help_text="what the changes were compared with; refused if another is in force by now")


class FaultShape(serializers.Serializer[Any]):
    path = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField(help_text="begins with the line")


class CheckedShape(serializers.Serializer[Any]):
    good = serializers.BooleanField()
    faults = FaultShape(many=True)


class Policies(Listing):
    needs = {"GET": "read", "POST": "policy.author"}
    rows, shape = VERSIONS.defer("text"), PolicyBrief
    filters = {
        "state": by_text("state", "draft, shadow, in_force or superseded"),
        "author": by_id("author_id"),
        "shipped": by_flag("shipped"),
        "digest": by_text("digest"),
    }

    @extend_schema(
        request=TextForm,
        responses={201: OpenApiResponse(PolicyShape, "Drafted; it is in force once others have approved it.")},
        summary="Draft the next version of the risk policy",
    )
    def post(self, request: Request) -> Response:
        drafted = policies.draft(read(TextForm, self.body(request))["text"], actor=self.actor(request))
        where = {"Location": f"/api/v1/policies/{drafted.pk}"}
        return Response(PolicyShape(found(VERSIONS, drafted.pk)).data, status=201, headers=where)


class OnePolicy(One):
    rows, shape = VERSIONS, PolicyShape


class ApprovePolicy(Endpoint):
    needs = {"POST": "policy.approve"}

    @extend_schema(
        request=ApproveForm,
        examples=[OpenApiExample("the text that was read", value=EXAMPLE, request_only=True)],
        responses=PolicyShape,
        summary="Approve a version that somebody else wrote; with the last word that it takes it is in force",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(ApproveForm, self.body(request))
        policy_approvals.approve(
            key,
            actor=self.actor(request),
            seen_digest=said["digest"],
            acknowledged=said["acknowledged"],
            seen_base=said.get("against"),
        )
        return Response(PolicyShape(found(VERSIONS, key)).data)


class CheckPolicy(Endpoint):
    needs = {"POST": "read"}

    @extend_schema(request=TextForm, responses=CheckedShape, summary="What is wrong with a text, each fault with its path and line")
    def post(self, request: Request) -> Response:
        faults = policies.check(read(TextForm, self.body(request))["text"])
        return Response(CheckedShape({"good": not faults, "faults": faults}).data)
