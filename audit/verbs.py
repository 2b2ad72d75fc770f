"""Every verb of the audit trail and its sentence. `{…}` are facts of the entry; a fact that is missing reads as a dash.

A verb is `thing.participle`. A room that records a new one adds its line here: record() refuses verbs it does not know.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

SENTENCES: dict[str, str] = {
    # people and tokens
    "person.added": "added {name} with the roles {roles}",
    "person.changed": "changed the roles of {name} to {roles}",
    "person.let_go": "let {name} go: they cannot sign in any more",
    "person.taken_back": "took {name} back: they may sign in again",
    "person.password_replaced": "gave {name} a new password",
    "person.signed_in": "signed in ({how})",
    "link.issued": "issued a sign-in link for {name}",
    "token.issued": "issued the token {name} with {scopes}",
    "token.revoked": "revoked the token {name}",
    # inventory
    "identity.discovered": "found an identity nobody had listed: {identity}",
    "identity.imported": "imported {identity}",
    "identity.changed": "changed {changes} of {identity}",
    "identity.adopted": "gave {identity} an owner: {owner}",
    "identity.merged": "merged {other} into {identity}",
    "identity.split": "split {other} from {identity}",
    "identity.aliased": "noted that {alias} is {identity} too",
    "identity.unaliased": "noted that {alias} is no longer {identity}",
    "credential.imported": "imported the credential {credential}",
    "credential.changed": "changed {changes} of the credential {credential}",
    "resource.imported": "imported the resource {resource}",
    "resource.changed": "changed {changes} of the resource {resource}",
    "source.imported": "imported the source {source}",
    "source.changed": "changed {changes} of the source {source}",
    "source.added": "set up the source {source}",
    "source.asked": "asked for more of the source {source} ({changes}), which waits for a second person",
    "source.ask_replaced": "withdrew what was asked for of the source {source} ({changes}): {because}",
    "source.confirmed": "confirmed what {asked_by} asked for of the source {source} ({changes}); it is in force",
    "source.refused": "refused what {asked_by} asked for of the source {source} ({changes}): {because}",
    "source.dropped": "raised an alarm, and only observes {source} from now on: {because}",
    "source.restored": "lets {source} act again: {because}",
    "credential.exposed": "noted that {credential} was reported leaked ({where}, {checked})",
    "credential.replaced": "noted that {credential} was replaced: {because}",
    "exposure.received": "reported {count} credentials leaked ({where})",
    "exposure.passed_on": "passed on all that is known of the leak: {known} credentials, {unknown} unknown",
    "exposure.set_aside": "set {credential} of a leak aside: {because}",
    "team.imported": "imported the team {team}",
    "team.changed": "changed {changes} of the team {team}",
    "inventory.imported": "imported {count} entries from {file}",
    "session.registered": "registered the session {session}",
    "session.changed": "changed {changes} of the session {session}",
    "session.narrowed": "narrowed the session {session}",
    "session.ended": "ended the session {session}",
    "session.gated": "set the session {session} to {state}",
    "document.drafted": "drafted version {version} of the {kind} {name}",
    "document.approved": "approved version {version} of the {kind} {name}",
    "designation.requested": "asked to designate {what} as business-critical: {because}",
    "designation.granted": "designated {what} as business-critical",
    "designation.ended": "ended the designation of {what}",
    # judgement
    "detection.received": "reported “{title}” about {identity}",
    "activity.lived_through": "had {count} events of {source} learned as history, as if each had been told when it happened",
    "activity.received": "told of {count} events of {identities} identities; {learned} were learned as usual, {raised} were reported",
    "detection.reopened": "will judge the detection again: {because}",
    "detection.quarantined": "set the detection aside after it stopped {crashes} workers",
    "decision.made": "decided {verdict}: {because}",
    "policy.drafted": "drafted policy version {version}",
    "policy.agreed": "agreed to policy version {version}; it takes {missing} more",
    "policy.approved": "approved policy version {version}; it is in force",
    "policy.stepped_back": "went back to observing {place}: policy version {version} is in force",
    "policy.shadowed": "let policy version {version} judge beside the one in force, without effect",
    "policy.unshadowed": "stopped policy version {version} judging beside the one in force",
    "protected.confirmed": "confirmed the protected list: {count} identities",
    "preflight.checked": "tried what the connector of {provider} can do for {place}: {found}",
    "backtest.asked": "asked what the policy would have decided from {since} to {until}",
    "backtest.started": "began to try the policy on {events} decisions",
    "backtest.finished": "tried the policy on {events} decisions: {flips} would have been different",
    "backtest.failed": "could not finish the backtest: {because}",
    "backtest.seen": "opened what the backtest found",
    "case.opened": "opened a case about {identity}",
    "case.moved": "moved the case to {state}",
    "case.judged": "called the case {verdict}: {reason}",
    "budget.refused": "found the containment budget spent ({scope}): what follows is asked about as one",
    # runs
    "playbook.drafted": "drafted version {version} of {name}",
    "playbook.approved": "approved version {version} of {name}; it is in force",
    "run.prepared": "prepared a run that waits for a person",
    "run.started": "started a run at the {stage} stage",
    "run.raised": "raised the run to the {stage} stage: {because}",
    "run.released": "released the run to act",
    "run.moved": "moved the run from {was} to {state}",
    "run.waiting": "could not act yet: {because}",
    "run.undo_requested": "asked to undo: {reason}",
    "run.accepted": "accepted it as it is: {reason}",
    "run.retried": "asked to try again",
    "run.hastened": "puts back at once what was kept: {because}",
    "step.intended": "is about to do {measure} on {target} (attempt {attempt})",
    "step.seen": "saw what was there before {measure}",
    "step.settled": "settled {measure}: {state}, {said}",
    "step.proven": "proved {measure}: {level}, {said}",
    "step.undone": "undid {measure}: {said}",
    "step.troubled": "met trouble at {measure}: {said}",
    # holds and exceptions
    "hold.opened": "opened a hold until {deadline}; if nobody answers: {on_lapse}",
    "hold.answered": "answered {word}: {reason}",
    "hold.extended": "moved the deadline to {deadline}: {reason}",
    "hold.approved": "closed the hold: contain now",
    "hold.rejected": "closed the hold: leave it running",
    "hold.escalated": "asked the next reviewers; new deadline {deadline}",
    "hold.lapsed": "let the hold lapse: {on_lapse}",
    "hold.withdrawn": "withdrew the hold: {because}",
    "hold.superseded": "replaced the hold: {because}",
    "group.joined": "asked about {name} in the grouped hold, as number {seq}",
    "group.left": "took {name} out of the grouped hold: {because}",
    "group.closed": "closed the list of the grouped hold at {members}; {later} wait in the next one",
    "group.struck": "could not do for {name} what was said about the grouped hold, {attempts} times; it is tried again, less often",
    "group.followed": "did for {name} what was said about the grouped hold: {because}",
    "grant.asked": "asked for an exception until {ends_at}: {reason}",
    "grant.granted": "granted the exception until {ends_at}",
    "grant.refused": "refused the exception: {reason}",
    "grant.withdrawn": "no longer wants the exception",
    "grant.revoked": "revoked the exception: {reason}",
    "grant.ended": "ended the exception at its time",
    "grant.reminded": "reminded that the exception ends at {ends_at}",
    "grant.spent": "spared a containment at risk {risk}",
    # evidence
    "evidence.sealed": "sealed {name} ({bytes} bytes, {digest})",
    "evidence.viewed": "opened {name}",
    "evidence.broken": "found {name} broken: {because}",
    "evidence.lost": "acted before {name} could be preserved: {because}",
    # the house
    "scenario.started": "started the scenario {name}",
    "killswitch.set": "set the kill switch to {position}: {reason}",
    "audit.verified": "checked the links of the audit trail ({checked}): {found}",
    "audit.exported": "exported {count} audit entries, {first} to {last}",
    "protected.changed": "changed the protected mark of {identity}: {because}",
}


class _Facts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "–"


def sentence(verb: str, facts: Mapping[str, Any]) -> str:
    """What an entry says, without its actor. The templates are ours; facts are only ever inserted."""
    template = SENTENCES.get(verb, verb.replace(".", " "))
    return string.Formatter().vformat(template, (), _Facts(facts))
