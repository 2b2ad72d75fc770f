"""Sessions that runtimes register: begin with an intent, say that they live, read whether they may go on, end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Strict, Text, Whole, read
from api.lists import Listing, One, by_flag, by_id, by_text, found
from api.v1 import shapes
from audit import clock
from containment import session_use, sessions
from containment.domain.facts import BudgetRule
from containment.models import Session
from containment.refusals import NoSuchSession
from sources.native import KINDS

SESSIONS = Session.objects.select_related("identity", "credential")
EXAMPLE = {
    "identity": {"kind": "ai_agent", "provider": "holdfast", "subject": "invoice-agent"},
    "id": "inv-1",
    "intent": {
        "profile": "invoices",
        "task": "Pay the October invoice of Northwind, 1,250.00, to DE89 3704 0044 0532 0130 00.",
        "tools": ["ledger.read", {"name": "payments.book", "writes": True}],
        "budgets": {"writes_per_session": 1},
        "environments": ["prod"],
    },
    "role": "clerk",
    "ttl_seconds": 3600,
}
LONGEST_S = sessions.LONGEST // timedelta(seconds=1)


class _Names(serializers.ListField):
    child = Text(max_length=300)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 200, "required": False} | kwargs)


class RuleForm(Strict):
    action = Text(max_length=100, help_text="data.read, secret.*")
    resource = Text(max_length=300, required=False, default="*")


class ToolForm(Strict):
    name = Text(max_length=300)
    writes = serializers.BooleanField(required=False, help_text="false: only read with it, though the profile allows more")


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "object", "required": ["name"]}]})
class _Tool(serializers.Field):  # type: ignore[type-arg]
    """A name, or a name and whether it writes."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            return Text(max_length=300).run_validation(data)
        form = ToolForm(data=data)
        form.is_valid(raise_exception=True)
        return dict(form.validated_data)

    def to_representation(self, value: Any) -> Any:
        return value


class IntentForm(Strict):
    profile = Text(max_length=200, help_text="an agent profile that is approved and in force; lists that are left out mean all it approves")
    task = Text(
        max_length=20_000, required=False, help_text="what the session is for, in the words of whoever asked; values in it are named"
    )
    scope = RuleForm(many=True, required=False)
    tools = serializers.ListField(child=_Tool(), required=False, max_length=200, help_text="names, or {name, writes}")
    resources = _Names(help_text="patterns, inside those of the profile")
    bounds = serializers.DictField(
        required=False, help_text="tool → argument → min, max, one_of or like: only less than the profile allows"
    )
    budgets = serializers.DictField(
        required=False, help_text="calls, writes, bytes, money or targets, then _per_minute, _per_hour, _per_day or _per_session"
    )
    environments = _Names()


class IdentityForm(Strict):
    kind = serializers.ChoiceField(KINDS)
    provider = Text(max_length=100)
    subject = Text(max_length=500)


class OriginForm(Strict):
    address = Text(max_length=100, required=False)
    application = Text(max_length=200, required=False)


class CriticalForm(Strict):
    because = Text(max_length=1000, help_text="what stopping it would hurt")


class SessionForm(Strict):
    identity = IdentityForm()
    id = Text(max_length=200, help_text="the client's own name for the session")
    intent = IntentForm(required=False)
    role = Text(max_length=200, required=False, help_text="a claim; the inventory's word counts")
    workflow = Text(max_length=200, required=False, help_text="a claim")
    tenant = Text(max_length=200, required=False, help_text="a claim")
    drive = serializers.ChoiceField(["human", "script", "autonomous"], required=False, help_text="a claim")
    origin = OriginForm(required=False)
    parent = serializers.UUIDField(  # type: ignore[assignment]
        required=False, help_text="the session that this one works for, registered by the same party: it may do no more than that one"
    )
    environment = Text(max_length=100, required=False, help_text="a claim; one of those that the session may act in")
    business_critical = CriticalForm(required=False, help_text="a claim: shown to people, and it changes no verdict and no designation")
    ttl_seconds = Whole(
        required=False, min_value=1, max_value=LONGEST_S, help_text="left out: no end, or that of the session that it works for"
    )
    heartbeat_seconds = Whole(
        required=False,
        min_value=5,
        max_value=86_400,
        help_text="how often a PATCH will come; acting without one is suspicious",
    )


class KeepForm(Strict):
    intent = IntentForm(required=False, help_text="less than before")
    ttl_seconds = Whole(required=False, min_value=1, max_value=LONGEST_S, help_text="from now; never later than before")


class BudgetShape(serializers.Serializer[Any]):
    what = serializers.CharField(help_text="calls, writes, bytes, money or targets")
    per = serializers.CharField()
    most = serializers.FloatField()
    left = serializers.SerializerMethodField()
    of = serializers.CharField(help_text="whose it is, where it is shared with a session that this one works for")

    def get_left(self, budget: BudgetRule) -> float:
        return max(0.0, budget.most - budget.used)


class SessionNow(shapes.SessionShape):
    """What is true now, and what is left of it."""

    children = serializers.SerializerMethodField(help_text="how many live sessions work for it")
    budgets = serializers.SerializerMethodField(help_text="what is left just now; the smallest counts")

    class Meta(shapes.SessionShape.Meta):
        fields = [*shapes.SessionShape.Meta.fields, "children", "budgets"]

    def get_children(self, session: Session) -> int:
        return session.children.filter(ended_at__isnull=True).count()

    @extend_schema_field(BudgetShape(many=True))
    def get_budgets(self, session: Session) -> Any:
        return [BudgetShape(budget).data for one in session_use.standings([session], now=clock.now()) for budget in one.intent.budgets]


class Sessions(Listing):
    needs = {"GET": "sessions.read", "POST": "sessions.write"}
    rows, shape = SESSIONS, shapes.SessionShape
    filters = {
        "identity": by_id("identity_id"),
        "provider": by_text("identity__provider"),
        "subject": by_text("identity__subject"),
        "name": by_text("external_id", "the client's own name for it"),
        "workflow": by_text("workflow"),
        "state": by_text("gate", "active, paused, restricted or ended"),
        "live": by_flag("ended_at__isnull"),
        "parent": by_id("parent_id"),
    }

    @extend_schema(
        request=SessionForm,
        examples=[OpenApiExample("an agent begins", value=EXAMPLE, request_only=True)],
        responses={201: OpenApiResponse(shapes.SessionShape), 200: OpenApiResponse(shapes.SessionShape, "Registered before.")},
        summary="Register a session",
    )
    def post(self, request: Request) -> Response:
        session, new = sessions.register(_registration(read(SessionForm, self.body(request))), actor=self.actor(request))
        where = {"Location": f"/api/v1/sessions/{session.pk}"}
        return Response(shapes.SessionShape(found(SESSIONS, session.pk)).data, status=201 if new else 200, headers=where)


class OneSession(One):
    """By its id, or by the client's own name for it where that is one session's alone."""

    needs = {"GET": "sessions.read", "PATCH": "sessions.write", "DELETE": "sessions.write"}
    rows, shape = SESSIONS, shapes.SessionShape

    @extend_schema(summary="The state of a session: may it go on?", responses=SessionNow)
    def get(self, request: Request, key: str) -> Response:
        return Response(SessionNow(found(SESSIONS, _id_of(key))).data)

    @extend_schema(
        request=KeepForm,
        responses=shapes.SessionShape,
        summary="A sign of life; or give up some of what was intended",
    )
    def patch(self, request: Request, key: str) -> Response:
        said = read(KeepForm, self.body(request))
        sessions.keep(_id_of(key), actor=self.actor(request), intent=said.get("intent"), life=_life(said))
        return Response(shapes.SessionShape(found(SESSIONS, _id_of(key))).data)

    @extend_schema(responses={204: None}, summary="End a session, and those that work for it")
    def delete(self, request: Request, key: str) -> Response:
        sessions.end(_id_of(key), actor=self.actor(request))
        return Response(status=204)


def _id_of(key: str) -> UUID:
    """A name may belong to sessions of several identities; then only the id says which is meant."""
    try:
        return UUID(key)
    except ValueError:
        named = list(Session.objects.filter(external_id=key).values_list("id", flat=True)[:2]) if "\0" not in key else []
    if len(named) != 1:
        raise NoSuchSession("No session has this name." if not named else "Several sessions have this name. Use the id.")
    return named[0]


def _registration(said: dict[str, Any]) -> sessions.Registration:
    return sessions.Registration(
        **said["identity"],
        name=said["id"],
        intent=said.get("intent", {}),
        claims=_claims(said),
        origin=said.get("origin", {}),
        life=_life(said),
        parent=said.get("parent"),
        heartbeat_seconds=said.get("heartbeat_seconds"),
    )


def _claims(said: dict[str, Any]) -> dict[str, str]:
    claims = {name: said[name] for name in ("role", "workflow", "tenant", "drive", "environment") if name in said}
    return claims | ({"business_critical": said["business_critical"]["because"]} if "business_critical" in said else {})


def _life(said: dict[str, Any]) -> timedelta | None:
    return timedelta(seconds=said["ttl_seconds"]) if "ttl_seconds" in said else None
