"""How the API shows things. What is not named here is not shown: a new column stays inside until somebody adds it."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from approvals.models import AccessRequest, Answer, ExceptionGrant, GroupMember, Hold
from audit import verbs
from audit.models import AuditEntry
from containment import taken
from containment.models import Case, Credential, Decision, Detection, Identity, Session, Taken
from playbooks import returning
from playbooks.domain.receipt import receipt
from playbooks.models import Run, Step


def named(fields: str) -> list[str]:
    return fields.split()


class Ref(serializers.CharField):
    """`run:0190…` inside, the id alone outside."""

    def to_representation(self, value: str) -> str:
        return str(value).partition(":")[2]


class RefOrNull(Ref):
    """The same; null where there is none."""

    def to_representation(self, value: str) -> str | None:  # type: ignore[override]
        return super().to_representation(value) or None


class IdentityBrief(serializers.ModelSerializer[Identity]):
    class Meta:
        model = Identity
        fields = named("id kind provider subject")


class IdentityShape(serializers.ModelSerializer[Identity]):
    owner = serializers.CharField(allow_null=True, help_text="Who owns it; the group `owner_team` answers where nobody does.")
    merged_into = serializers.UUIDField(source="merged_into_id", allow_null=True)
    url = serializers.SerializerMethodField()

    class Meta:
        model = Identity
        fields = named(
            "id kind provider subject name environment tenant owner owner_team reach reach_from reach_at drive "
            "known_networks protected protected_because discovered_at last_seen_at merged_into url"
        )

    def get_url(self, identity: Identity) -> str:
        return f"/identities/{identity.pk}/"


class _Action(serializers.Serializer[Detection]):
    name = serializers.CharField(source="action")
    count = serializers.IntegerField(source="action_count")


class _Resource(serializers.Serializer[Any]):
    kind = serializers.CharField()
    id = serializers.CharField(source="key")
    sensitivity = serializers.CharField()


class CredentialBrief(serializers.ModelSerializer[Credential]):
    class Meta:
        model = Credential
        fields = named("id kind name")


class SessionBrief(serializers.ModelSerializer[Session]):
    name = serializers.CharField(source="external_id")

    class Meta:
        model = Session
        fields = named("id name")


class SignalShape(serializers.Serializer[Any]):
    code = serializers.CharField()
    family = serializers.CharField()
    strength = serializers.FloatField()
    decibans = serializers.FloatField()
    because = serializers.CharField()


class _Thresholds(serializers.Serializer[Decision]):
    soft = serializers.FloatField()
    hard = serializers.FloatField()


class DecisionBrief(serializers.ModelSerializer[Decision]):
    stage = serializers.SerializerMethodField(help_text="soft, hard, or null where nothing is to be done")
    risk = serializers.FloatField()
    thresholds = _Thresholds(source="*")
    signals = SignalShape(many=True)
    policy_version = serializers.IntegerField(source="policy.version")

    class Meta:
        model = Decision
        fields = named("id verdict stage risk thresholds signals because would_have policy_version digest")

    def get_stage(self, decision: Decision) -> str | None:
        return decision.stage or None


class DecisionShape(DecisionBrief):
    detection = serializers.UUIDField(source="detection_id")
    case = serializers.UUIDField(source="case_id", allow_null=True)
    run = serializers.UUIDField(source="run_id", allow_null=True)
    hold = serializers.UUIDField(source="hold_id", allow_null=True)
    exception = serializers.UUIDField(source="grant_id", allow_null=True)

    class Meta(DecisionBrief.Meta):
        fields = DecisionBrief.Meta.fields + named(
            "sentence waterfall generation cause playbook passed_over decided_at detection case run hold exception"
        )


class CaseBrief(serializers.ModelSerializer[Case]):
    url = serializers.SerializerMethodField()

    class Meta:
        model = Case
        fields = named("id state url")

    def get_url(self, case: Case) -> str:
        return f"/cases/{case.pk}/"


class RunBrief(serializers.ModelSerializer[Run]):
    class Meta:
        model = Run
        fields = named("id state stage proof_level")


class HoldBrief(serializers.ModelSerializer[Hold]):
    class Meta:
        model = Hold
        fields = named("id state deadline plan_digest on_lapse")


class DetectionAnswer(serializers.Serializer[Any]):
    """What a source is told: what became of its detection, now."""

    id = serializers.UUIDField()
    duplicate = serializers.BooleanField()
    differs = serializers.BooleanField(required=False, help_text="of a duplicate: its body is not the one that came first")
    decision = DecisionBrief(allow_null=True)
    case = CaseBrief(allow_null=True)
    run = RunBrief(allow_null=True)
    hold = HoldBrief(allow_null=True)


class DetectionShape(serializers.ModelSerializer[Detection]):
    source = serializers.CharField()  # type: ignore[assignment]
    identity = IdentityBrief()
    session = SessionBrief(allow_null=True)
    credential = CredentialBrief(allow_null=True)
    action = _Action(source="*")
    resource = _Resource(allow_null=True)
    decision = serializers.SerializerMethodField(help_text="the latest; null while it waits to be decided")
    case = serializers.SerializerMethodField()
    run = serializers.SerializerMethodField()
    hold = serializers.SerializerMethodField()

    class Meta:
        model = Detection
        fields = named(
            "id source external_id title severity confidence claims identity session credential action resource workload context "
            "claimed_kind occurred_at received_at state body_digest decision case run hold"
        )

    @extend_schema_field(DecisionBrief(allow_null=True))
    def get_decision(self, detection: Detection) -> Any:
        return self._of_decision(detection, DecisionBrief, "")

    @extend_schema_field(CaseBrief(allow_null=True))
    def get_case(self, detection: Detection) -> Any:
        return self._of_decision(detection, CaseBrief, "case")

    @extend_schema_field(RunBrief(allow_null=True))
    def get_run(self, detection: Detection) -> Any:
        return self._of_decision(detection, RunBrief, "run")

    @extend_schema_field(HoldBrief(allow_null=True))
    def get_hold(self, detection: Detection) -> Any:
        return self._of_decision(detection, HoldBrief, "hold")

    @staticmethod
    def _of_decision(detection: Detection, shape: type[serializers.BaseSerializer[Any]], part: str) -> Any:
        """Over what was prefetched: a list of detections asks once for all their decisions."""
        latest = max(detection.decisions.all(), key=lambda decision: (decision.generation, decision.decided_at), default=None)
        shown = getattr(latest, part) if latest and part else latest
        return shape(shown).data if shown else None


class StepShape(serializers.ModelSerializer[Step]):
    class Meta:
        model = Step
        fields = named(
            "seq stage measure connector state disruptive inverse attempts said left proof_level proof residual_until "
            "started_at settled_at next_at"
        )


PROVEN = {
    "replayed": "what worked before was tried again and is refused",
    "introspected": "the target's own record says unusable, looked at twice",
    "acknowledged": "the target said OK; nothing else shows it",
}


class ReturningShape(serializers.Serializer[Any]):
    level = serializers.IntegerField(help_text="how many levels have come to stand")
    of = serializers.IntegerField()
    watched_until = serializers.DateTimeField(
        allow_null=True, help_text="then the next one follows by itself; null while one is brought about"
    )


class ReceiptShape(serializers.Serializer[Any]):
    measure = serializers.CharField()
    connector = serializers.CharField()
    back = serializers.BooleanField()
    why = serializers.ChoiceField(choices=["back", "kept", "irreversible", "was_so_before", "untouched", "foreign", "not_yet"])
    said = serializers.CharField()
    left = serializers.ListField(child=serializers.CharField())


class RunShape(serializers.ModelSerializer[Run]):
    identity = Ref(source="identity_ref")
    case = Ref(source="case_ref")
    decision = Ref(source="decision_ref")
    playbook = serializers.CharField()
    next_at = serializers.DateTimeField(
        allow_null=True,
        read_only=True,
        help_text="when it goes on; of an accepted run: when its targets are asked to forget what they keep for it",
    )
    steps = StepShape(many=True)
    proven = serializers.SerializerMethodField(help_text="what `proof_level` means, in words; empty before it is contained")
    returning = serializers.SerializerMethodField(help_text="where a return in levels stands; null where there is none")
    receipt = serializers.SerializerMethodField(help_text="what came back and what did not, once undo was asked for")

    class Meta:
        model = Run
        fields = named(
            "id state stage because playbook identity case decision plan_digest proof_level residual_until created_at "
            "released_at contained_at finished_at next_at undo_reason steps lasts_until proven returning receipt"
        )

    def get_proven(self, run: Run) -> str:
        return PROVEN.get(run.proof_level, "")

    @extend_schema_field(ReturningShape(allow_null=True))
    def get_returning(self, run: Run) -> dict[str, object] | None:
        if run.state != "reinstating":
            return None
        watched = returning.is_watched(run)
        return {"level": run.level, "of": len(returning.levels(run)), "watched_until": run.next_at if watched else None}

    @extend_schema_field(ReceiptShape(many=True))
    def get_receipt(self, run: Run) -> list[dict[str, object]]:
        if run.undo_at is None:
            return []
        lines = receipt(run.steps.all())
        return [
            {"measure": one.measure, "connector": one.connector, "back": one.back, "why": one.why, "said": one.said, "left": list(one.left)}
            for one in lines
        ]


class AnswerShape(serializers.ModelSerializer[Answer]):
    person = serializers.CharField()

    class Meta:
        model = Answer
        fields = named("word person reason plan_digest at")


class WaitingShape(serializers.ModelSerializer[AccessRequest]):
    """One call that a program asks people to allow, without secrets."""

    asks = serializers.JSONField(help_text="who wants what on what, with which arguments")

    class Meta:
        model = AccessRequest
        fields = named("id asked_by asked_at asks justification emergency")


class MemberShape(serializers.ModelSerializer[GroupMember]):
    run = Ref(source="run_ref")
    case = Ref(source="case_ref")
    identity = Ref(source="identity_ref")
    risk = serializers.FloatField()

    class Meta:
        model = GroupMember
        fields = named(
            "id seq name kind environment title because risk state closed_because plan_digest list_digest joined_at closed_at "
            "run case identity"
        )


class HoldShape(serializers.ModelSerializer[Hold]):
    """A grouped one is about its members: it has no run, case or identity of its own."""

    run = RefOrNull(source="run_ref", allow_null=True)
    case = RefOrNull(source="case_ref", allow_null=True)
    identity = RefOrNull(source="identity_ref", allow_null=True)
    members = serializers.SerializerMethodField(help_text="how many wait in a grouped hold, or were waiting when it ended; null otherwise")
    members_url = serializers.SerializerMethodField(help_text="the list of them, in pages; null where it is not grouped")
    quorum = serializers.IntegerField(source="terms.quorum")
    answers = AnswerShape(many=True)
    waiting = WaitingShape(many=True, help_text="the calls that wait for it, up to a hundred; name those that you read when you answer")

    class Meta:
        model = Hold
        fields = named(
            "id state title reason_class because deadline on_lapse in_the_end lapsed_to plan_digest plan quorum extensions "
            "extensions_max opened_at closed_at closed_by closed_because grouped gathers gathers_until members members_url run case "
            "identity answers waiting"
        )

    def get_members(self, hold: Hold) -> int | None:
        return hold.members.exclude(state="left").count() if hold.grouped else None

    def get_members_url(self, hold: Hold) -> str | None:
        return f"/api/v1/holds/{hold.pk}/members" if hold.grouped else None


class CaseShape(serializers.ModelSerializer[Case]):
    identity = IdentityBrief()
    highest_risk = serializers.FloatField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Case
        fields = named(
            "id title state identity opened_at first_event_at last_event_at detections_seen highest_risk verdict "
            "verdict_reason closed_at url"
        )

    def get_url(self, case: Case) -> str:
        return f"/cases/{case.pk}/"


class TakenShape(serializers.ModelSerializer[Taken]):
    """Something that was taken before the cut. `about`: the credential or session that it opens, where the inventory knows it."""

    about = serializers.CharField(source="about_ref")
    cut_by = RefOrNull(source="cut_by_ref")

    class Meta:
        model = Taken
        fields = named("id kind key said about first_at found_at state cut_by settled_by_name settled_at because")


class WholeCaseShape(CaseShape):
    """`taken`: what got away before the cut, oldest first."""

    taken = serializers.SerializerMethodField()

    class Meta(CaseShape.Meta):
        fields = [*CaseShape.Meta.fields, "taken"]

    @extend_schema_field(TakenShape(many=True))
    def get_taken(self, case: Case) -> Any:
        return TakenShape(taken.of_case(case), many=True).data


class _Budget(serializers.Serializer[ExceptionGrant]):
    count = serializers.IntegerField(source="budget_count")
    risk = serializers.FloatField(source="budget_risk")
    used_count = serializers.IntegerField()
    used_risk = serializers.FloatField()


class ExceptionShape(serializers.ModelSerializer[ExceptionGrant]):
    requester = serializers.CharField()
    granter = serializers.CharField(allow_null=True)
    budget = _Budget(source="*")
    state = serializers.SerializerMethodField(help_text="pending until somebody else signs or refuses")

    class Meta:
        model = ExceptionGrant
        fields = named(
            "id state scope reason ticket requester granter asked_at granted_at starts_at ends_at budget closed_at closed_because"
        )

    def get_state(self, grant: ExceptionGrant) -> str:
        return "pending" if grant.state == "asked" else grant.state


class SessionShape(serializers.ModelSerializer[Session]):
    """`state` is what an agent reads before each call: active, paused, restricted or ended. `claimed` is what its client said of
    itself, and binds nobody."""

    name = serializers.CharField(source="external_id")
    identity = IdentityBrief()
    credential = CredentialBrief(allow_null=True)
    parent = serializers.UUIDField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    state = serializers.CharField(source="gate")
    because = serializers.CharField(source="gate_because")
    allows = serializers.ListField(source="gate_allows", child=serializers.CharField(), help_text="what a restricted one may still do")
    next_heartbeat_at = serializers.DateTimeField(allow_null=True, help_text="when its next sign of life is due, if it promised any")

    class Meta:
        model = Session
        fields = named(
            "id name identity credential role workflow tenant environment drive parent intent claimed state because allows "
            "gated_at started_at expires_at last_seen_at heartbeat_seconds next_heartbeat_at ended_at discovered_at"
        )


class AuditShape(serializers.ModelSerializer[AuditEntry]):
    said = serializers.SerializerMethodField()
    facts = serializers.SerializerMethodField()

    class Meta:
        model = AuditEntry
        fields = named("seq at verb actor actor_name subject about said facts body_digest prev hash")

    def get_said(self, entry: AuditEntry) -> str:
        return verbs.sentence(entry.verb, self._facts(entry))

    @extend_schema_field(serializers.DictField())
    def get_facts(self, entry: AuditEntry) -> dict[str, Any]:
        return self._facts(entry)

    @staticmethod
    def _facts(entry: AuditEntry) -> dict[str, Any]:
        return dict(json.loads(entry.body or "{}"))
