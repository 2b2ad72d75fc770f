"""Connectors: who each is in its system, what it can and cannot do there with which command to mend it, and whom it asks to protect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from django.db.models import Count
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.lists import Listing, by_text
from api.routes import Endpoint
from api.v1.shapes import named
from connectors import registry
from connectors.base import IRREVERSIBLE, Connector
from containment import readiness
from containment.models import ProtectionProposal, Readiness
from core.refusals import Missing

MOST = 500


class _Measure(serializers.Serializer[Any]):
    measure = serializers.CharField()
    effect = serializers.CharField(help_text="What saying it twice does: keyed, natural, observable or blind")
    inverse = serializers.CharField()
    reversible = serializers.BooleanField()
    residual_s = serializers.FloatField(help_text="The longest that access already given may live on")
    probe = serializers.CharField()
    disruptive = serializers.BooleanField()


class _Found(serializers.ModelSerializer[Readiness]):
    class Meta:
        model = Readiness
        fields = named("measure subject can missing remedy too_much checked_at")


class _Proposal(serializers.ModelSerializer[ProtectionProposal]):
    class Meta:
        model = ProtectionProposal
        fields = named("id subject because state proposed_at seen_at answered_at")


class ConnectorBrief(serializers.Serializer[Any]):
    provider = serializers.CharField()
    kind = serializers.CharField()
    answers = serializers.BooleanField(allow_null=True, help_text="Whether it did when it was asked last; null before that")
    asked_at = serializers.DateTimeField(allow_null=True)
    can = serializers.IntegerField(help_text="Measures and targets that it can do at the last look")
    cannot = serializers.IntegerField()
    proposals = serializers.IntegerField(help_text="Subjects that it asks to protect and that nobody answered")
    url = serializers.CharField()


class ConnectorShape(ConnectorBrief):
    trouble = serializers.ListField(child=serializers.CharField())
    measures = _Measure(many=True)
    found = _Found(many=True, help_text="One for each measure and target, what cannot be done first; no subject: anybody there")
    found_cut = serializers.BooleanField(help_text=f"There are more than the {MOST} that `found` names; `can` and `cannot` count them all")
    proposals_url = serializers.CharField(help_text="The list of whom it asks to protect")


class ConnectorList(serializers.Serializer[Any]):
    results = ConnectorBrief(many=True)
    next = serializers.CharField(allow_null=True)


class Connectors(Endpoint):
    needs = {"GET": "read"}

    @extend_schema(responses=ConnectorList, operation_id="connectors_list")
    def get(self, request: Request) -> Response:
        return Response(ConnectorList({"results": _briefs(dict(sorted(registry.providers().items()))), "next": None}).data)


class OneConnector(Endpoint):
    needs = {"GET": "read"}

    @extend_schema(responses=ConnectorShape)
    def get(self, request: Request, provider: str) -> Response:
        connector = registry.connector_for(provider)
        if connector is None:
            raise Missing("No connector acts on a provider of this name.")
        contact = readiness.last_contact(provider)
        measures = [
            {
                "measure": str(measure),
                "effect": str(ability.effect),
                "inverse": ability.inverse,
                "reversible": ability.inverse != IRREVERSIBLE,
                "residual_s": ability.residual.total_seconds(),
                "probe": ability.probe,
                "disruptive": ability.disruptive,
            }
            for measure, ability in connector.abilities.items()
        ]
        tried = list(_tried(provider)[: MOST + 1])
        whole = {
            **_briefs({provider: connector})[0],
            "trouble": contact.missing if contact else [],
            "measures": measures,
            "found": tried[:MOST],
            "found_cut": len(tried) > MOST,
            "proposals_url": f"/api/v1/connectors/{quote(provider, safe='')}/proposals",
        }
        return Response(ConnectorShape(whole).data)


class Proposals(Listing):
    """Whom a connector asks to protect, the newest first."""

    rows, shape = ProtectionProposal.objects.all(), _Proposal
    filters = {"state": by_text("state", "open, agreed or declined"), "subject": by_text("subject")}

    def get(self, request: Request, provider: str) -> Response:  # type: ignore[override]
        if registry.connector_for(provider) is None:
            raise Missing("No connector acts on a provider of this name.")
        return self.listed(request, self.rows.filter(provider=provider))


def _tried(provider: str) -> Any:
    return Readiness.objects.filter(provider=provider).exclude(measure=readiness.CONTACT).order_by("can", "measure", "subject")


def _briefs(connectors: Mapping[str, Connector]) -> list[dict[str, Any]]:
    """Three queries, however many there are."""
    rows = Readiness.objects.filter(provider__in=connectors)
    contacts = {row.provider: row for row in rows.filter(measure=readiness.CONTACT, subject="")}
    tried = rows.exclude(measure=readiness.CONTACT).order_by().values_list("provider", "can").annotate(Count("pk"))
    counted = {(provider, can): count for provider, can, count in tried}
    asked = (
        ProtectionProposal.objects.filter(provider__in=connectors, state="open").order_by().values_list("provider").annotate(Count("pk"))
    )
    proposals = dict(asked)
    return [
        {
            "provider": provider,
            "kind": connector.name,
            "answers": contacts[provider].can if provider in contacts else None,
            "asked_at": contacts[provider].checked_at if provider in contacts else None,
            "can": counted.get((provider, True), 0),
            "cannot": counted.get((provider, False), 0),
            "proposals": proposals.get(provider, 0),
            "url": f"/connectors/{provider}/",
        }
        for provider, connector in connectors.items()
    ]
