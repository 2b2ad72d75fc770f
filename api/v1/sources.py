"""Sources: what each may bring about, how much it posts, and how often it was right; and the same count for every signal."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.lists import Filter, Listing, One, by_text, number
from api.v1.shapes import named
from audit import clock
from containment import limits, verdicts
from containment.models import Source, SourceAlarm, SourceAsk, VerdictCount


class CountShape(serializers.ModelSerializer[VerdictCount]):
    """Of judged cases, how many were what. `precision` is the share of true positives, and null while nothing was judged."""

    judged = serializers.IntegerField()
    precision = serializers.FloatField(allow_null=True)

    class Meta:
        model = VerdictCount
        fields = named("kind name true_positive benign harmless_but_right_to_stop judged precision")


class _Rate(serializers.Serializer[Any]):
    allowed_per_minute = serializers.IntegerField()
    this_minute = serializers.IntegerField()
    minute_before = serializers.IntegerField()


class _Alarm(serializers.ModelSerializer[SourceAlarm]):
    class Meta:
        model = SourceAlarm
        fields = named("id over limit because raised_at")


class _Ask(serializers.ModelSerializer[SourceAsk]):
    asked_by = serializers.CharField(source="asked_by_name")
    was = serializers.DictField()
    wanted = serializers.DictField()

    class Meta:
        model = SourceAsk
        fields = named("id was wanted asked_by asked_at")


class SourceShape(serializers.ModelSerializer[Source]):
    state = serializers.SerializerMethodField(help_text="active, or observing: judged and recorded, with nothing done")
    rate = serializers.SerializerMethodField()
    alarm = serializers.SerializerMethodField(help_text="the one that stands, or null")
    waits = serializers.SerializerMethodField(help_text="what was asked for and is not in force until a second person confirms it, or null")
    verdicts = serializers.SerializerMethodField()

    class Meta:
        model = Source
        fields = named(
            "id name reads trust ceiling kinds providers rate_per_minute budget_per_hour max_age_seconds teaches state observes_because "
            "observes_until rate alarm waits verdicts"
        )

    def get_state(self, source: Source) -> str:
        return "observing" if limits.observed_because(source) else "active"

    @extend_schema_field(_Rate())
    def get_rate(self, source: Source) -> Any:
        this, before = limits.rates(source, at=clock.now())
        return {"allowed_per_minute": source.rate_per_minute, "this_minute": this, "minute_before": before}

    @extend_schema_field(_Alarm(allow_null=True))
    def get_alarm(self, source: Source) -> Any:
        alarm = source.alarms.filter(ended_at__isnull=True).first()
        return _Alarm(alarm).data if alarm else None

    @extend_schema_field(_Ask(allow_null=True))
    def get_waits(self, source: Source) -> Any:
        found = limits.waiting(source)
        return _Ask(found).data if found else None

    @extend_schema_field(CountShape(allow_null=True))
    def get_verdicts(self, source: Source) -> Any:
        count = verdicts.of_sources([source.name]).get(source.name)
        return CountShape(count).data if count else None


class Sources(Listing):
    rows, shape = Source.objects.select_related("meter"), SourceShape
    filters = {"name": by_text("name"), "state": by_text("state", "active or observing")}


class OneSource(One):
    rows, shape = Source.objects.select_related("meter"), SourceShape


class Verdicts(Listing):
    """How often the cases that a signal, or a source, led to were what they looked like."""

    rows, shape = VerdictCount.objects.all(), CountShape
    key, key_filter = "id", Filter("", number, OpenApiTypes.INT)
    filters = {"kind": by_text("kind", "signal or source"), "name": by_text("name")}
