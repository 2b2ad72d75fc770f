"""What must always be true, as questions to the rows that must find nothing; asked every hour, after every trial by fire, and by hand.

Each question names the rows that break it, in words. A window (`since`, `since_id`, `since_seq`) keeps the hourly look narrow; what is
unfinished is looked at whatever its age. What only the outside world knows (that a target was not touched twice) is for tests to ask.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from audit import clock
from connectors.base import IRREVERSIBLE
from containment import policies
from containment.domain.policy import Budget
from containment.models import Heartbeat, InvariantCheck, RiskPolicyVersion

log = logging.getLogger(__name__)

ROWS = 20  # of what breaks one; the first are enough to begin with
WINDOW = timedelta(days=2)  # of the hourly look
TIMEOUT_S = 10.0  # for one question
EVERY = timedelta(hours=1)
KEPT = 500
SILENCE = "could not be looked at: "
TURN = "invariants"  # the row of whoever looks
LONGEST = timedelta(minutes=10)  # a look; whoever took longer has died over it
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class CannotTellError(Exception):
    """The database did not answer, or not in time: neither true nor broken."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """`sentence` says what is true. `sql` returns one text for each row that makes it false, and nothing otherwise."""

    sentence: str
    sql: str


_LIVE = "('prepared', 'waiting', 'pending', 'running', 'verifying', 'contained', 'partial', 'needs_human', 'undoing', 'reinstating')"
_SETTLED_BY_A_CALL = (
    "o.outcome IN ('done', 'partial', 'verifying') AND o.said NOT LIKE 'it was so already%%' AND o.said NOT LIKE 'found done after%%'"
)
# what lies ahead of a clock that was set back was under the former time; with a moment that was said since it has no order
_ON_ONE_CLOCK = """NOT EXISTS (SELECT FROM audit_entry c WHERE c.verb = 'clock.followed' AND a.at > c.at
                                     AND a.id <= (nullif(c.body, '')::jsonb ->> 'calls_to')::bigint)"""

INVARIANTS: Mapping[str, Invariant] = MappingProxyType(
    {
        # -- what comes in ---------------------------------------------------------------------------------------------------------------
        "a_detection_is_stored_once": Invariant(
            "A message of a source is one detection, however often it is sent.",
            """SELECT 'source ' || source_id || ' sent ' || external_id || ' ' || count(*) || ' times' FROM detection
               WHERE id >= %(since_id)s GROUP BY source_id, external_id HAVING count(*) > 1""",
        ),
        "a_detection_is_decided_or_due": Invariant(
            "Every detection is decided, due, or set aside for a person.",
            """SELECT 'detection ' || d.id || ' is ' || d.state
                      || CASE WHEN d.state = 'received' THEN ' and not due' ELSE ' without a decision' END
               FROM detection d
               WHERE d.id >= %(since_id)s AND (
                    (d.state = 'received' AND d.next_at IS NULL)
                 OR (d.state = 'decided' AND NOT EXISTS (SELECT FROM decision x WHERE x.detection_id = d.id)))""",
        ),
        "a_decision_is_made_once": Invariant(
            "A detection has one decision for each policy version and generation, and a later generation names its cause.",
            """SELECT 'detection ' || detection_id || ': ' || count(*) || ' decisions of generation ' || generation
                      || CASE WHEN bool_or(generation > 0 AND cause = '') THEN ', without a cause' ELSE '' END
               FROM decision WHERE id >= %(since_id)s GROUP BY detection_id, policy_id, generation
               HAVING count(*) > 1 OR bool_or(generation > 0 AND cause = '')""",
        ),
        "a_contain_has_one_run": Invariant(
            "A contain has a run, a hold a run and people who are asked, and every run a decision that it came from.",
            """SELECT 'decision ' || d.id || ' is ' || d.verdict || ' without ' || CASE WHEN d.run_id IS NULL THEN 'a run' ELSE 'a hold' END
               FROM decision d WHERE d.id >= %(since_id)s
                 AND ((d.verdict IN ('contain', 'hold') AND d.run_id IS NULL) OR (d.verdict = 'hold' AND d.hold_id IS NULL))
               UNION ALL
               SELECT 'run ' || r.id || ' came from no decision that knows it' FROM run r
               WHERE r.id >= %(since_id)s
                 AND NOT EXISTS (SELECT FROM decision d WHERE 'decision:' || d.id = r.decision_ref AND d.run_id = r.id)
                 AND NOT EXISTS (SELECT FROM decision d WHERE d.run_id = r.id)""",
        ),
        "what_only_watches_does_nothing": Invariant(
            "Watching, sparing and observing have no run, no hold and cost no budget: no dry run has an effect.",
            """SELECT 'decision ' || d.id || ' is ' || d.verdict || ' and has '
                      || CASE WHEN d.run_id IS NOT NULL THEN 'a run' WHEN d.hold_id IS NOT NULL THEN 'a hold' ELSE 'spent budget' END
               FROM decision d JOIN detection n ON n.id = d.detection_id
               WHERE d.id >= %(since_id)s AND d.verdict IN ('watch', 'exempt')
                 AND (d.run_id IS NOT NULL OR d.hold_id IS NOT NULL OR EXISTS (
                      SELECT FROM containment_spend s
                      WHERE s.at = d.decided_at AND s.identity_id = n.identity_id AND s.source_id = n.source_id))""",
        ),
        # -- nothing is stuck ------------------------------------------------------------------------------------------------------------
        "one_live_run_per_identity": Invariant(
            "An identity is under one live run of a control family at most.",
            f"""SELECT identity_ref || ' is under ' || count(*) || ' live runs of the family ' || control_family FROM run
                WHERE state IN {_LIVE} GROUP BY identity_ref, control_family HAVING count(*) > 1""",  # noqa: S608 - our own words
        ),
        "what_is_unfinished_is_due_or_somebodys": Invariant(
            "Everything unfinished has a due time, a deadline, or a person who is asked.",
            """SELECT 'run ' || id || ' is ' || state || ' and not due' FROM run
               WHERE state IN ('prepared', 'pending', 'running', 'verifying', 'undoing', 'reinstating') AND next_at IS NULL
                 AND (lease_until IS NULL OR lease_until < clock_timestamp())
               UNION ALL
               SELECT 'run ' || r.id || ' waits for people whom no open hold asks' FROM run r
               WHERE r.state = 'waiting' AND r.next_at IS NULL
                 AND NOT EXISTS (SELECT FROM hold h WHERE h.run_ref = 'run:' || r.id AND h.state = 'open')
                 AND NOT EXISTS (SELECT FROM hold_member m WHERE m.run_ref = 'run:' || r.id AND m.state = 'waiting')
               UNION ALL
               SELECT 'step ' || s.id || ' is ' || s.state || ' in a run that is ' || r.state FROM run_step s JOIN run r ON r.id = s.run_id
               WHERE r.id >= %(since_id)s AND r.state IN ('contained', 'partial', 'failed', 'undone', 'withdrawn')
                 AND s.state IN ('planned', 'acting', 'verifying', 'undoing')
               UNION ALL
               SELECT 'hold ' || h.id || ' is open about a run that waits no longer' FROM hold h
               WHERE h.state = 'open' AND NOT h.grouped AND h.run_ref <> ''
                 AND NOT EXISTS (SELECT FROM run r WHERE 'run:' || r.id = h.run_ref
                                    AND r.state IN ('waiting', 'contained', 'partial', 'failed'))
               UNION ALL
               SELECT 'member ' || m.id || ' of a hold that has ended is not due' FROM hold_member m JOIN hold h ON h.id = m.hold_id
               WHERE m.state = 'waiting' AND h.state <> 'open' AND m.next_at IS NULL
               UNION ALL
               SELECT 'request ' || q.id || ' waits for a hold that has ended' FROM access_request q JOIN hold h ON h.id = q.hold_id
               WHERE q.state = 'pending' AND h.closed_at < clock_timestamp() - interval '5 minutes'
               UNION ALL
               SELECT 'exposure ' || e.id || ' was passed on, and ' || m.named || ' was not' FROM exposure e
               JOIN exposure_member m ON m.exposure_id = e.id WHERE m.state = 'waiting' AND e.state = 'passed_on'
               UNION ALL
               SELECT 'exposure ' || id || ' is neither passed on nor due' FROM exposure WHERE state = 'passing_on' AND next_at IS NULL
               UNION ALL
               SELECT 'member ' || m.id || ' of a mass undo is ' || m.state || ' and not due' FROM mass_undo_member m
               JOIN mass_undo u ON u.id = m.mass_undo_id
               WHERE u.state = 'approved' AND m.state IN ('waiting', 'undoing') AND m.next_at IS NULL
               UNION ALL
               SELECT 'case ' || t.case_id || ' is closed, and ' || t.key || ', which was taken, is open' FROM taken t
               JOIN incident_case c ON c.id = t.case_id WHERE t.state = 'open' AND c.state = 'closed'""",
        ),
        "what_is_due_is_done": Invariant(
            "Nothing waits more than five minutes past its due time, unless the kill switch is on.",
            """SELECT said || ' since ' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' FROM (
                 SELECT 'run ' || id || ' is due' AS said, greatest(next_at, lease_until) AS at FROM run
                 WHERE next_at IS NOT NULL AND state IN ('waiting', 'pending', 'running', 'verifying', 'undoing', 'reinstating')
                 UNION ALL SELECT 'detection ' || id || ' is due', next_at FROM detection WHERE next_at IS NOT NULL AND state = 'received'
                 UNION ALL SELECT 'hold ' || id || ' is past its deadline', deadline FROM hold WHERE state = 'open'
                 UNION ALL SELECT 'member ' || id || ' of a hold is due', next_at FROM hold_member WHERE next_at IS NOT NULL
                 UNION ALL SELECT 'exposure ' || id || ' is due', next_at FROM exposure WHERE next_at IS NOT NULL
                 UNION ALL SELECT 'member ' || id || ' of a mass undo is due', next_at FROM mass_undo_member WHERE next_at IS NOT NULL
                 UNION ALL SELECT 'exception ' || id || ' is past its end', ends_at FROM exception_grant WHERE state IN ('asked', 'granted')
                 UNION ALL SELECT 'run ' || id || ' was to end', lasts_until FROM run
                           WHERE lasts_until IS NOT NULL AND state IN ('contained', 'partial')
               ) AS due
               WHERE at < clock_timestamp() - interval '5 minutes'
                 AND NOT EXISTS (SELECT FROM kill_switch WHERE position <> 'off' OR at > clock_timestamp() - interval '5 minutes')""",
        ),
        # -- what goes out ---------------------------------------------------------------------------------------------------------------
        "an_outcome_has_its_intent": Invariant(
            "Nothing is done outside before the intent to do it is committed.",
            """SELECT 'step ' || o.step_id || ': an outcome of attempt ' || o.n || ' without its intent' FROM run_attempt o
               WHERE o.at >= %(since)s AND o.kind = 'outcome' AND NOT EXISTS (
                     SELECT FROM run_attempt i WHERE i.step_id = o.step_id AND i.kind = 'intent' AND i.direction = o.direction
                        AND i.n <= o.n AND i.id < o.id)
               UNION ALL
               SELECT 'step ' || s.id || ' was performed without an intent' FROM run_step s
               WHERE s.id >= %(since_id)s AND s.performed
                 AND NOT EXISTS (SELECT FROM run_attempt i WHERE i.step_id = s.id AND i.kind = 'intent' AND i.direction = 'forward')""",
        ),
        "steps_go_one_after_the_other": Invariant(
            "No step begins before the one before it is settled; on the way back, none before the one after it.",
            """SELECT 'step ' || two.id || ' began before step ' || one.id || ' was settled' FROM run_step two
               JOIN run_step one ON one.run_id = two.run_id AND one.seq < two.seq AND one.disruptive AND one.state <> 'skipped'
               JOIN LATERAL (SELECT min(id) AS id FROM run_attempt WHERE step_id = two.id AND kind = 'intent' AND direction = 'forward') i
                    ON i.id IS NOT NULL
               WHERE two.id >= %(since_id)s AND two.disruptive AND one.stage NOT LIKE 'return-%%' AND two.stage NOT LIKE 'return-%%'
                 AND NOT EXISTS (SELECT FROM run_attempt o WHERE o.step_id = one.id AND o.direction = 'forward' AND o.kind = 'outcome'
                                    AND o.id < i.id AND o.outcome NOT IN ('unavailable', 'ambiguous', 'stopped', 'looked'))
               UNION ALL
               SELECT 'step ' || one.id || ' was undone before step ' || two.id FROM run_step one
               JOIN run_step two ON two.run_id = one.run_id AND two.seq > one.seq AND two.disruptive AND two.state <> 'skipped'
               JOIN LATERAL (SELECT min(id) AS id FROM run_attempt WHERE step_id = one.id AND kind = 'intent' AND direction = 'undo') u
                    ON u.id IS NOT NULL
               WHERE one.id >= %(since_id)s AND one.stage NOT LIKE 'return-%%' AND two.stage NOT LIKE 'return-%%'
                 AND EXISTS (SELECT FROM run_attempt i WHERE i.step_id = two.id AND i.direction = 'forward' AND i.id < u.id)
                 AND CASE WHEN EXISTS (SELECT FROM run_attempt i WHERE i.step_id = two.id AND i.direction = 'undo')
                          THEN NOT EXISTS (SELECT FROM run_attempt o WHERE o.step_id = two.id AND o.direction = 'undo'
                                              AND o.kind = 'outcome' AND o.outcome = 'undone' AND o.id < u.id)
                          ELSE two.state NOT IN ('undone', 'lost', 'failed') END
                 AND NOT (two.state = 'undone' AND two.said LIKE 'kept:%%')""",
        ),
        "an_older_fence_never_writes": Invariant(
            "A worker whose lease passed writes nothing: fences in the journal of a run only grow.",
            """SELECT 'run ' || run_id || ': fence ' || fence || ' wrote after fence ' || before FROM (
                 SELECT s.run_id, a.fence, lag(a.fence) OVER (PARTITION BY s.run_id ORDER BY a.id) AS before
                 FROM run_attempt a JOIN run_step s ON s.id = a.step_id WHERE s.id >= %(since_id)s) AS journal
               WHERE fence < before
               UNION ALL
               SELECT 'run ' || r.id || ' is at fence ' || r.fence || ', and fence ' || max(a.fence) || ' wrote' FROM run_attempt a
               JOIN run_step s ON s.id = a.step_id JOIN run r ON r.id = s.run_id
               WHERE s.id >= %(since_id)s GROUP BY r.id, r.fence HAVING max(a.fence) > r.fence""",
        ),
        "a_blind_step_is_tried_once": Invariant(
            "What cannot be looked at afterwards is called once at most.",
            f"""SELECT 'step ' || s.id || ' (' || s.measure || ') was called again in attempt ' || o.n FROM run_step s
                JOIN run_attempt o ON o.step_id = s.id AND o.kind = 'outcome' AND o.direction = 'forward'
                JOIN run_attempt i ON i.step_id = s.id AND i.kind = 'intent' AND i.direction = 'forward' AND i.n = o.n
                WHERE s.id >= %(since_id)s AND s.effect = 'blind' AND s.disruptive AND {_SETTLED_BY_A_CALL}
                  AND i.at > (SELECT min(e.at) FROM audit_entry e WHERE e.subject = 'step:' || s.id AND e.verb = 'step.seen')""",  # noqa: S608
        ),
        "what_ran_was_frozen": Invariant(
            "Every step is in the plan of its run, as it was frozen, under a playbook version that somebody approved.",
            f"""SELECT 'step ' || s.id || ' (' || s.measure || ') is not in the frozen plan' FROM run_step s JOIN run r ON r.id = s.run_id
               WHERE s.id >= %(since_id)s AND s.stage NOT LIKE 'return-%%' AND NOT EXISTS (
                     SELECT FROM jsonb_array_elements(coalesce(r.plan -> s.stage, '[]')) AS p
                     WHERE p ->> 'measure' = s.measure AND p ->> 'connector' = s.connector AND p -> 'parameters' = s.parameters)
               UNION ALL
               SELECT 'run ' || r.id || ' is under a playbook version that nobody put in force' FROM run r
               JOIN playbook_version v ON v.id = r.playbook_id
               WHERE r.id >= %(since_id)s AND (v.in_force_at IS NULL OR (v.approver_id IS NULL AND NOT v.shipped))
               UNION ALL
               SELECT 'step ' || a.step_id || ' began under a playbook version that was withdrawn as harmful' FROM run_attempt a
               JOIN run_step s ON s.id = a.step_id JOIN run r ON r.id = s.run_id JOIN playbook_version v ON v.id = r.playbook_id
               WHERE a.at >= %(since)s AND a.kind = 'intent' AND a.direction = 'forward' AND s.disruptive AND v.state = 'revoked'
                 AND s.stage NOT LIKE 'return-%%' AND a.at > v.ended_at + interval '2 seconds'
                 AND {_ON_ONE_CLOCK}""",  # noqa: S608 - our own words
        ),
        "claims_match_what_stands": Invariant(
            "A run claims exactly the controls that it holds, so that the last one to go gives them back.",
            f"""SELECT 'run ' || c.run_id || ' claims ' || c.measure || ' on ' || c.subject || ' and holds it no more' FROM control_claim c
                WHERE NOT EXISTS (SELECT FROM run_step s WHERE s.run_id = c.run_id AND s.measure = c.measure AND s.connector = c.connector
                                     AND s.state NOT IN ('planned', 'skipped', 'undone', 'lost'))
                UNION ALL
                SELECT 'step ' || s.id || ' (' || s.measure || ') stands without a claim' FROM run_step s JOIN run r ON r.id = s.run_id
                WHERE r.state IN {_LIVE} AND s.disruptive AND s.performed AND s.state IN ('done', 'partial', 'verifying')
                  AND s.inverse <> '{IRREVERSIBLE}'
                  AND s.started_at > (SELECT min(claimed_at) FROM control_claim)
                  AND NOT EXISTS (SELECT FROM control_claim c WHERE c.run_id = r.id AND c.measure = s.measure
                                     AND c.connector = s.connector)""",  # noqa: S608 - our own words
        ),
        "a_secret_is_kept_no_longer_than_undo_needs_it": Invariant(
            "What was sealed for undo is gone once there is nothing left to put back.",
            """SELECT 'step ' || s.id || ' is ' || s.state || ' and its sealed state is still there' FROM run_step s
               JOIN run r ON r.id = s.run_id
               WHERE s.id >= %(since_id)s AND s.was_sealed IS NOT NULL AND (s.state = 'undone' OR r.state = 'accepted')""",
        ),
        # -- whose word it took ----------------------------------------------------------------------------------------------------------
        "a_hold_ends_once": Invariant(
            "A hold that ended has one ending on record, an open one has none.",
            """SELECT 'hold ' || h.id || ' is ' || h.state || ' with ' || e.n || ' endings on record' FROM hold h
               JOIN LATERAL (SELECT count(*) AS n FROM audit_entry a WHERE a.subject = 'hold:' || h.id AND a.verb IN
                     ('hold.approved', 'hold.rejected', 'hold.lapsed', 'hold.withdrawn', 'hold.superseded', 'hold.allowed', 'hold.refused',
                      'hold.unanswered')) e ON true
               WHERE h.id >= %(since_id)s AND e.n <> CASE WHEN h.state = 'open' THEN 0 ELSE 1 END""",
        ),
        "an_answer_is_in_time": Invariant(
            "An answer was given before the deadline and before the hold had ended.",
            """SELECT 'answer ' || a.id || ' came at ' || a.at || ', the deadline was ' || h.deadline FROM hold_answer a
               JOIN hold h ON h.id = a.hold_id
               WHERE h.id >= %(since_id)s AND (a.at >= h.deadline OR a.at > h.closed_at) AND NOT EXISTS (SELECT FROM audit_entry c
                     WHERE c.verb = 'clock.followed' AND ('hold:' || h.id = ANY (c.about)
                        OR EXISTS (SELECT FROM audit_entry e WHERE e.subject = 'hold:' || h.id AND e.verb = 'hold.answered'
                                   AND e.actor = 'person:' || a.principal AND e.at > c.at AND e.seq < c.seq)))""",
        ),
        "who_counted_could_answer": Invariant(
            "Every counted answer is one entitled person's, about exactly the plan that was shown; there were as many as it takes.",
            """SELECT 'answer ' || a.id || CASE WHEN h.terms -> 'never' ? a.principal THEN ' counts although it never may'
                      WHEN a.plan_digest <> h.plan_digest THEN ' is about another plan'
                      ELSE ' was not given by the person themselves' END
               FROM hold_answer a JOIN hold h ON h.id = a.hold_id
               WHERE h.id >= %(since_id)s AND (h.terms -> 'never' ? a.principal OR a.principal <> a.person_id::text
                                                OR (a.plan_digest <> h.plan_digest AND NOT h.grouped))
               UNION ALL
               SELECT 'hold ' || h.id || ' is approved with ' || count(DISTINCT a.person_id) || ' answers of ' || (h.terms ->> 'quorum')
               FROM hold h LEFT JOIN hold_answer a ON a.hold_id = h.id AND a.word = 'approve'
               WHERE h.id >= %(since_id)s AND h.state = 'approved' GROUP BY h.id
               HAVING count(DISTINCT a.person_id) < (h.terms ->> 'quorum')::integer""",
        ),
        "what_was_answered_is_what_ran": Invariant(
            "The plan that people answered is the plan of the run, to the letter.",
            """SELECT 'hold ' || h.id || ' showed another plan than that of run ' || r.id
               FROM hold h JOIN run r ON 'run:' || r.id = h.run_ref
               WHERE h.id >= %(since_id)s AND NOT h.grouped AND h.state IN ('open', 'approved') AND r.wants = ''
                 AND ((h.plan_digest <> r.plan_digest AND NOT h.plan ? 'raises') OR h.plan -> 'plan' IS DISTINCT FROM r.plan
                      OR h.plan -> 'target' IS DISTINCT FROM r.target)
               UNION ALL
               SELECT 'member ' || m.id || ' showed another plan than that of run ' || r.id FROM hold_member m
               JOIN run r ON 'run:' || r.id = m.run_ref
               WHERE m.id >= %(since_id)s AND m.state IN ('waiting', 'followed') AND m.plan_digest <> r.plan_digest""",
        ),
        # -- how far it may go -----------------------------------------------------------------------------------------------------------
        "the_budget_was_never_exceeded": Invariant(
            "Containments that nobody was asked about never exceed the budget: not in any hour of a source, not in any day.",
            """SELECT 'at ' || s.at || ' source ' || s.source_id || ' had brought ' || n.hour || ' in an hour, all of them ' || n.day
                      || ' in a day'
               FROM containment_spend s
               JOIN detection t ON t.source_id = s.source_id AND t.identity_id = s.identity_id
               JOIN decision d ON d.detection_id = t.id AND d.decided_at = s.at AND d.verdict = 'contain'
               JOIN LATERAL (SELECT count(DISTINCT identity_id) AS day,
                                    count(DISTINCT identity_id) FILTER (
                                        WHERE w.source_id = s.source_id AND w.at > s.at - interval '1 hour' + interval '15 seconds') AS hour
                             FROM containment_spend w
                             WHERE w.at > s.at - interval '1 day' + interval '15 seconds' AND w.at <= s.at) n ON true
               WHERE s.at >= %(since)s AND (n.hour > %(per_source_hour)s OR n.day > %(per_day)s)""",
        ),
        "the_protected_are_never_cut_unasked": Invariant(
            "Nobody protected is contained by a decision alone or by silence, under none of their names.",
            f"""SELECT 'decision ' || d.id || ' contains an identity that was protected' FROM decision d
                WHERE d.id >= %(since_id)s AND d.verdict = 'contain' AND d.facts -> 'identity' ->> 'protected' = 'true'
                UNION ALL
                SELECT 'hold ' || id || ' about the protected lapsed into contain' FROM hold
                WHERE id >= %(since_id)s AND reason_class = 'protected' AND state = 'lapsed' AND lapsed_to = 'contain'
                UNION ALL
                SELECT 'run ' || r.id || ' cuts ' || b.subject || ', another name of whom is protected' FROM run r
                JOIN identity_alias b ON b.provider = r.target ->> 'provider' AND b.subject = r.target ->> 'subject'
                JOIN identity p ON p.id = b.identity_id AND p.protected
                JOIN decision d ON 'decision:' || d.id = r.decision_ref AND d.verdict = 'contain'
                JOIN LATERAL (SELECT coalesce(e.body::jsonb ->> 'protected', 'true') AS said FROM audit_entry e
                              WHERE e.subject = 'identity:' || p.id AND e.verb = 'protected.changed' AND e.at < d.decided_at
                              ORDER BY e.seq DESC LIMIT 1) last ON last.said = 'true'
                WHERE r.state IN {_LIVE}""",  # noqa: S608 - our own words
        ),
        "the_kill_switch_holds": Invariant(
            "Two seconds after the kill switch went on nothing goes out that it stops.",
            f"""SELECT 'step ' || a.step_id || ' began ' || a.direction || ' at ' || a.at
                      || ', the switch was set to ' || k.position || ' at ' || k.at
               FROM kill_switch k JOIN run_attempt a ON a.kind = 'intent' AND a.at > k.at + interval '2 seconds'
               JOIN run_step s ON s.id = a.step_id
               WHERE a.at >= %(since)s AND (k.position = 'nothing' OR (k.position = 'no_new' AND a.direction = 'forward' AND s.disruptive
                                                    AND s.stage NOT LIKE 'return-%%'))
                 AND {_ON_ONE_CLOCK}""",  # noqa: S608 - our own words
        ),
        # -- what is on record -----------------------------------------------------------------------------------------------------------
        "the_trail_has_no_gap": Invariant(
            "Audit entries are numbered without a gap up to their head.",
            """SELECT 'entry ' || (seq - 1) || ' is missing' FROM (
                 SELECT seq, lag(seq) OVER (ORDER BY seq) AS before FROM audit_entry WHERE seq > %(since_seq)s) AS walk
               WHERE seq <> before + 1 OR (before IS NULL AND seq <> %(since_seq)s + 1)
               UNION ALL
               SELECT 'the head says ' || h.seq || ', the last entry is ' || coalesce(max(e.seq), 0) FROM audit_head h
               LEFT JOIN audit_entry e ON e.seq >= h.seq WHERE h.chain = 'main' AND h.seq > 0 GROUP BY h.seq
               HAVING max(e.seq) IS DISTINCT FROM h.seq""",
        ),
        "every_change_is_on_record": Invariant(
            "Each decision, each state of a run and each intent has its entry in the trail, but for repeating what had no answer.",
            """SELECT 'decision ' || d.id || ' has no entry' FROM decision d WHERE d.id >= %(since_id)s
                 AND NOT EXISTS (SELECT FROM audit_entry e WHERE e.subject = 'decision:' || d.id AND e.verb = 'decision.made')
               UNION ALL
               SELECT 'run ' || r.id || ' is ' || r.state || ', its last entry says ' || coalesce(last.state, 'nothing') FROM run r
               LEFT JOIN LATERAL (SELECT e.body::jsonb ->> 'state' AS state FROM audit_entry e
                                  WHERE e.subject = 'run:' || r.id AND e.verb = 'run.moved' ORDER BY e.seq DESC LIMIT 1) last ON true
               WHERE r.id >= %(since_id)s AND last.state IS DISTINCT FROM r.state
               UNION ALL
               SELECT 'step ' || s.id || ': ' || i.n || ' intents, ' || e.n || ' entries' FROM run_step s
               JOIN LATERAL (SELECT count(*) AS n FROM (
                             SELECT kind, direction, lag(outcome) OVER (ORDER BY id) AS before, lag(direction) OVER (ORDER BY id) AS way
                             FROM run_attempt WHERE step_id = s.id) a
                             WHERE a.kind = 'intent' AND (a.before IN ('unavailable', 'ambiguous', 'stopped', 'looked')
                                   AND a.way = a.direction) IS NOT TRUE) i ON true
               JOIN LATERAL (SELECT count(*) AS n FROM audit_entry a
                             WHERE a.subject = 'step:' || s.id AND a.verb = 'step.intended') e ON true
               WHERE s.id >= %(since_id)s AND i.n <> e.n""",
        ),
        "evidence_has_custody": Invariant(
            "Every artefact is sealed, and every touch of it is on its list: numbered, and with the digest that was found.",
            """SELECT 'artefact ' || a.id || ' (' || a.name || '): ' || CASE WHEN count(c.id) = 0 THEN 'nobody had custody'
                      WHEN NOT bool_or(c.act = 'sealed' AND c.n = 1) THEN 'nobody sealed it'
                      WHEN max(c.n) <> count(c.id) THEN 'a touch is missing'
                      ELSE 'a touch found another digest, and did not say so' END
               FROM artefact a LEFT JOIN custody c ON c.artefact_id = a.id WHERE a.id >= %(since_id)s GROUP BY a.id
               HAVING count(c.id) = 0 OR NOT bool_or(c.act = 'sealed' AND c.n = 1) OR max(c.n) <> count(c.id)
                  OR bool_or(c.act <> 'found_broken' AND c.sha256_seen <> a.sha256)
               UNION ALL
               SELECT 'artefact ' || a.id || ' (' || a.name || ') has no sealed bytes' FROM artefact a
               WHERE a.id >= %(since_id)s AND NOT EXISTS (SELECT FROM artefact_sealed b WHERE b.artefact_id = a.id)""",
        ),
    }
)


def broken(names: Collection[str] = (), *, since: datetime = EPOCH, timeout_s: float = 60.0) -> dict[str, list[str]]:
    """What is not as it must be: for each broken one its first rows, in words; empty where all holds. Without names, all of them.

    CannotTellError where one of them could not be asked.
    """
    found, silent = look(names, since=since, timeout_s=timeout_s)
    if silent:
        raise CannotTellError(" ".join(f"{name}: {why}" for name, why in silent.items()))
    return found


def look(names: Collection[str] = (), *, since: datetime, timeout_s: float) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What is broken, and what could not be asked, with why."""
    found: dict[str, list[str]] = {}
    silent: dict[str, str] = {}
    try:
        with _at_most(timeout_s):
            window = _window(since)
    except DatabaseError as error:
        return {}, {name: f"the database does not answer ({type(error).__name__})." for name in names or INVARIANTS}
    for name in names or INVARIANTS:
        try:
            if rows := _rows(INVARIANTS[name].sql, window, timeout_s):
                found[name] = rows
        except DatabaseError as error:
            silent[name] = f"the database did not answer in {timeout_s:g} s ({type(error).__name__})."
    return found, silent


def check_due() -> int:
    """A sweeper's duty: look once an hour, keep what was found, and say it loudly where something is broken."""
    if not _is_due():
        return 0
    if not _our_turn() or not _is_due():  # another sweeper is looking, or has looked
        return 0
    check()
    return 1


def _our_turn() -> bool:
    """Among all sweepers. A look may take minutes, so it is no lock: a transaction that long would keep old rows alive, and a lock of the
    session would not survive a pooler."""
    now = clock.now()
    _, new = Heartbeat.objects.get_or_create(name=TURN, defaults={"kind": "turn", "at": now})
    return new or Heartbeat.objects.filter(name=TURN, at__lt=now - LONGEST).update(at=now) == 1


def _is_due() -> bool:
    now = clock.now()  # a look that lies ahead is from before the clock was set back
    return not InvariantCheck.objects.filter(at__gt=now - EVERY, at__lte=now).exists()


def check(*, since: datetime | None = None, timeout_s: float = TIMEOUT_S) -> InvariantCheck:
    """Look now and keep what was found. What could not be asked stands there as well: nobody may take silence for a yes."""
    now, began = clock.now(), time.monotonic()
    found, silent = look(since=since or now - WINDOW, timeout_s=timeout_s)
    said = found | {name: [f"{SILENCE}{why}"] for name, why in silent.items()}
    took_ms = round((time.monotonic() - began) * 1000)
    kept = InvariantCheck.objects.create(at=now, took_ms=took_ms, looked_at=len(INVARIANTS), found=said)
    old = InvariantCheck.objects.order_by("-at").values_list("pk", flat=True)[KEPT : KEPT + 100]
    InvariantCheck.objects.filter(pk__in=list(old)).delete()
    for name, rows in said.items():
        log.critical("what must always be true is not: %s (%s)", INVARIANTS[name].sentence, "; ".join(rows[:3]))
    return kept


def is_silence(rows: Sequence[str]) -> bool:
    """Whether what a look kept of one says that it could not be asked."""
    return len(rows) == 1 and rows[0].startswith(SILENCE)


def _rows(sql: str, window: Mapping[str, Any], timeout_s: float) -> list[str]:
    with _at_most(timeout_s), connection.cursor() as cursor:
        cursor.execute(f"SELECT said::text FROM ({sql}) AS found (said) LIMIT {ROWS}", window)  # noqa: S608 - our own questions
        return [row[0] for row in cursor.fetchall()]


@contextmanager
def _at_most(timeout_s: float) -> Iterator[None]:
    """Each statement of this transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(round(timeout_s * 1000))])
        yield


def _window(since: datetime) -> dict[str, Any]:
    """Where to begin, in each of the ways that rows are found by their age; and what the budget was at most since then."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(seq), 0) FROM audit_entry WHERE at < %s", [since]) if since > EPOCH else None
        row = cursor.fetchone() if since > EPOCH else None
    budget = _largest_budget(since - timedelta(days=1))
    return {
        "since": since,
        "since_id": UUID(int=int(since.timestamp() * 1000) << 80),
        "since_seq": row[0] if row else 0,
        "per_source_hour": budget.per_source_hour if budget else 0,
        "per_day": budget.per_day if budget else 0,
    }


def _largest_budget(since: datetime) -> Budget | None:
    """Of the policy versions in force at some time since then. A version without a budget allows nothing."""
    versions = []
    for version in RiskPolicyVersion.objects.filter(in_force_at__isnull=False).order_by("-in_force_at")[:100]:
        versions.append(policies.document(version.text).budget)
        if version.in_force_at is not None and version.in_force_at <= since:
            break
    given = [budget for budget in versions if budget is not None]
    if not given:
        return None
    return Budget(
        per_source_hour=max(budget.per_source_hour for budget in given),
        per_day=max(budget.per_day for budget in given),
        share_of_kind=max(budget.share_of_kind for budget in given),
        share_at_least=max(budget.share_at_least for budget in given),
    )
