"""Rows of why and whether: who exists, what was reported, what was decided, and the story of each identity while something is wrong."""

from containment.models.activity import Activity, Baseline, DailyUse, Habit, Trail
from containment.models.backtest import Backtest, BacktestSeen, BacktestSlice, DecisionGist
from containment.models.case import Case, VerdictCount
from containment.models.decision import BudgetAlarm, BudgetLock, ContainmentSpend, Decision
from containment.models.detection import Detection, DetectionBody, Source, SourceAlarm, SourceMeter
from containment.models.exposure import Exposure, ExposureMember
from containment.models.health import InvariantCheck, Readiness
from containment.models.heartbeat import Heartbeat
from containment.models.identity import Credential, CredentialUse, Identity, IdentityAlias
from containment.models.lockout import PersonIdentity, ProtectionProposal
from containment.models.mass_undo import MassUndo, MassUndoMember
from containment.models.merge import Merge
from containment.models.policy import PolicyApproval, RiskPolicyVersion, ShadowDifference
from containment.models.ramp import PreflightCheck, ProtectedConfirmation
from containment.models.resource import Resource
from containment.models.session import Designation, MintedCredential, Session
from containment.models.session_use import SessionMark, SessionUse
from containment.models.source_ask import SourceAsk
from containment.models.taken import Taken
from containment.models.work import WorkDocument

__all__ = [
    "Activity",
    "Backtest",
    "BacktestSeen",
    "BacktestSlice",
    "Baseline",
    "BudgetAlarm",
    "BudgetLock",
    "Case",
    "ContainmentSpend",
    "Credential",
    "CredentialUse",
    "DailyUse",
    "Decision",
    "DecisionGist",
    "Designation",
    "Detection",
    "DetectionBody",
    "Exposure",
    "ExposureMember",
    "Habit",
    "Heartbeat",
    "Identity",
    "IdentityAlias",
    "InvariantCheck",
    "MassUndo",
    "MassUndoMember",
    "Merge",
    "MintedCredential",
    "PersonIdentity",
    "PolicyApproval",
    "PreflightCheck",
    "ProtectedConfirmation",
    "ProtectionProposal",
    "Readiness",
    "Resource",
    "RiskPolicyVersion",
    "Session",
    "SessionMark",
    "SessionUse",
    "ShadowDifference",
    "Source",
    "SourceAlarm",
    "SourceAsk",
    "SourceMeter",
    "Taken",
    "Trail",
    "VerdictCount",
    "WorkDocument",
]
