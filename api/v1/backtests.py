"""Backtests: ask what a policy would have decided, and read what came out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Moment, Strict, read
from api.lists import Listing, One, by_id, by_text, found
from audit import clock
from containment import backtests
from containment.models import Backtest, RiskPolicyVersion
from core.refusals import Missing

ROWS = Backtest.objects.select_related("version", "made_by").defer("policy_text")
USUAL = timedelta(days=30)


class BacktestBrief(serializers.ModelSerializer[Backtest]):
    """`counts` once it is done: how many decisions would have been different, and what people would have noticed."""

    policy_version = serializers.IntegerField(source="version.version", allow_null=True, default=None)
    made_by = serializers.CharField(allow_null=True)
    counts = serializers.DictField(child=serializers.IntegerField())

    class Meta:
        model = Backtest
        fields: ClassVar[list[str]] = [
            *("id", "state", "policy_version", "policy_digest", "since", "until", "whole", "events", "done", "counts", "trouble"),
            *("made_by", "made_at", "finished_at"),
        ]


class BacktestShape(BacktestBrief):
    """`result`: verdicts before and after, flips with both reasons' decisions, what would be noticed, and the cells of the sliders."""

    result = serializers.DictField()

    class Meta(BacktestBrief.Meta):
        fields: ClassVar[list[str]] = [*BacktestBrief.Meta.fields, "result"]


class BacktestForm(Strict):
    version = serializers.UUIDField(required=False, help_text="a saved version")
    text = serializers.CharField(required=False, max_length=100_000, trim_whitespace=False, help_text="or the text of a policy, as YAML")
    since = Moment(required=False, help_text="left out: 30 days ago")
    until = Moment(required=False, help_text="left out: now")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("version" in attrs) == ("text" in attrs):
            raise serializers.ValidationError({"text": "Name a version or send a text, one of the two."})
        return attrs


class Backtests(Listing):
    needs = {"GET": "read", "POST": "read"}  # and the right to write or approve policies: backtests.ask looks
    rows, shape = ROWS, BacktestBrief
    filters = {
        "state": by_text("state", "due, running, done or failed"),
        "policy_digest": by_text("policy_digest"),
        "version": by_id("version_id"),
    }

    @extend_schema(
        request=BacktestForm,
        examples=[OpenApiExample("a text", value={"text": "version: 2\n…", "since": "2026-10-23T00:00:00Z"}, request_only=True)],
        responses={202: OpenApiResponse(BacktestBrief, "Asked; it is done by workers. Ask for it again until its state is done.")},
        summary="Try a policy on what was decided",
    )
    def post(self, request: Request) -> Response:
        said = read(BacktestForm, self.body(request))
        version = _version(said)
        made = backtests.ask(
            version.text if version else said["text"],
            since=said.get("since") or clock.now() - USUAL,
            until=said.get("until"),
            version=version,
            actor=self.actor(request),
        )
        return Response(BacktestBrief(found(ROWS, made.pk)).data, status=202, headers={"Location": f"/api/v1/backtests/{made.pk}"})


def _version(said: dict[str, Any]) -> RiskPolicyVersion | None:
    if "version" not in said:
        return None
    version = RiskPolicyVersion.objects.filter(pk=said["version"]).first()
    if version is None:
        raise Missing("There is no such policy version.")
    return version


class OneBacktest(One):
    """Reading it here is no opening: who approves a policy opens what it would have done on its page."""

    rows, shape = ROWS, BacktestShape
