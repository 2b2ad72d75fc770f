"""Many runs undone at once: one person asks with what they have in common, another agrees to exactly that list."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Moment, Strict, Text, Whole, read
from api.lists import Listing, One, by_id, by_text, found
from api.routes import Endpoint
from api.v1.shapes import Ref, named
from containment import mass_undo
from containment.mass_undo import Picks
from containment.models import MassUndo, MassUndoMember

ROWS = MassUndo.objects.select_related("requester", "approver")
EXAMPLE = {"picks": {"policy_version": 7, "since": "2026-11-22T10:00:00Z"}, "reason": "version 7 took the nightly jobs for thieves"}


class PicksForm(Strict):
    """At least one; a run must fit all that are given."""

    policy_version = Whole(required=False, min_value=1, max_value=2_000_000_000)
    source = Text(required=False, max_length=200)  # type: ignore[assignment]
    playbook = Text(required=False, max_length=200, help_text="its name, or one version of it as in `service-account v3`")
    since = Moment(required=False, help_text="the runs began after")
    until = Moment(required=False, help_text="the runs began before")


class AskForm(Strict):
    picks = PicksForm()
    reason = Text(max_length=mass_undo.LONGEST_REASON)


class DigestForm(Strict):
    digest = Text(max_length=100, help_text="of the list that was read")


class NothingForm(Strict):
    pass


class MemberShape(serializers.ModelSerializer[MassUndoMember]):
    run = Ref(source="run_ref")
    identity = Ref(source="identity_ref")

    class Meta:
        model = MassUndoMember
        fields = named("run identity state said")


class MassUndoBrief(serializers.ModelSerializer[MassUndo]):
    requester = serializers.CharField()
    approver = serializers.CharField(allow_null=True)
    url = serializers.SerializerMethodField()

    class Meta:
        model = MassUndo
        fields = named("id state picks reason digest requester approver asked_at approved_at ended_at url")

    def get_url(self, row: MassUndo) -> str:
        return f"/mass-undo/{row.pk}/"


class MassUndoShape(MassUndoBrief):
    counts = serializers.SerializerMethodField(help_text="how many of its runs stand how")
    members = serializers.SerializerMethodField(help_text=f"the frozen list, at most {mass_undo.MOST:,}")

    class Meta(MassUndoBrief.Meta):
        fields = [*MassUndoBrief.Meta.fields, "counts", "members"]

    def get_counts(self, row: MassUndo) -> dict[str, int]:
        return dict(mass_undo.counts(row))

    def get_members(self, row: MassUndo) -> list[dict[str, Any]]:
        return [dict(one) for one in MemberShape(row.members.order_by("id"), many=True).data]


class MassUndos(Listing):
    needs = {"GET": "read", "POST": "run.undo"}
    rows, shape = ROWS, MassUndoBrief
    filters = {"state": by_text("state", "asked, approved, done or withdrawn"), "requester": by_id("requester_id")}

    @extend_schema(
        request=AskForm,
        examples=[OpenApiExample("everything that a policy version contained", value=EXAMPLE, request_only=True)],
        responses={201: OpenApiResponse(MassUndoShape, "The list is frozen; nothing is undone before another person agrees to it.")},
        summary="Ask to undo many runs; people only",
    )
    def post(self, request: Request) -> Response:
        said = read(AskForm, self.body(request))
        asked = mass_undo.ask(Picks(**said["picks"]), said["reason"], actor=self.actor(request))
        where = {"Location": f"/api/v1/mass-undos/{asked.pk}"}
        return Response(MassUndoShape(found(ROWS, asked.pk)).data, status=201, headers=where)


class OneMassUndo(One):
    rows, shape = ROWS, MassUndoShape


class ApproveMassUndo(Endpoint):
    needs = {"POST": "run.undo"}

    @extend_schema(
        request=DigestForm,
        responses={202: OpenApiResponse(MassUndoShape, "Agreed; each run is being undone.")},
        summary="Agree to undo many runs that somebody else picked; people only",
    )
    def post(self, request: Request, key: UUID) -> Response:
        mass_undo.approve(key, actor=self.actor(request), seen_digest=read(DigestForm, self.body(request))["digest"])
        return Response(MassUndoShape(found(ROWS, key)).data, status=202)


class WithdrawMassUndo(Endpoint):
    needs = {"POST": "run.undo"}

    @extend_schema(request=NothingForm, responses=MassUndoShape, summary="Call it off; what has not begun stays as it is. People only")
    def post(self, request: Request, key: UUID) -> Response:
        read(NothingForm, self.body(request))
        mass_undo.withdraw(key, actor=self.actor(request))
        return Response(MassUndoShape(found(ROWS, key)).data)
