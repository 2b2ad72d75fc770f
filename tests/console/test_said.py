"""The sentences of the console, as a table: what is true now, and what follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from approvals.domain.quorum import Reviewers, Terms
from approvals.models import Hold
from console import said
from playbooks.domain.moves import RUN
from playbooks.models import Run, Step

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RESTRICT = {"schemas": ["payments"]}
SPARE = {"spare": [{"address": "10.0.0.1", "application": "pay-main"}]}


def step(measure, state="done", parameters=None, **more):
    return Step(measure=measure, state=state, parameters=parameters or {}, **more)


def hold(on_lapse, **more):
    groups = (Reviewers("the team soc", teams=["soc"]), Reviewers("any manager", anyone=True))
    return Hold(**{"on_lapse": on_lapse, "in_the_end": "release", "keep_interim_s": 0, "terms": Terms(1, groups).to_json()} | more)


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ([], "nothing is stopped yet"),
        ([step("evidence.preserve", disruptive=False)], "nothing is stopped yet"),
        ([step("session.restrict", "acting", RESTRICT)], "it is being restricted at this moment; nothing is revoked yet"),
        ([step("session.restrict", "done", RESTRICT)], "it is restricted to payments; nothing is revoked yet"),
        (
            [step("session.restrict", "done", RESTRICT), step("session.terminate", "verifying", SPARE)],
            "it is restricted to payments and every session but pay-main is ended; nothing is revoked yet",
        ),
        ([step("credential.revoke")], "the credential is revoked"),
        ([step("session.restrict", "failed", RESTRICT)], "nothing is stopped yet"),
        ([step("session.restrict", "undone", RESTRICT)], "what was restricted meanwhile is put back"),
        ([step("session.pause"), step("something.new")], "the session is paused and something.new is done; nothing is revoked yet"),
    ],
)
def test_what_is_true_now_is_what_took_effect(steps, sentence):
    assert said.true_now(steps) == sentence


@pytest.mark.parametrize(
    ("waiting", "restricted", "sentence"),
    [
        (hold("contain"), True, "it is contained"),
        (hold("release"), False, "it is left running"),
        (hold("release"), True, "it is left running, and what is restricted now is put back"),
        (
            hold("release", keep_interim_s=3600),
            True,
            "it is left running, and what is restricted now is put back 60 minutes later",
        ),
        (hold("escalate"), True, "any manager will be asked; if they are silent too, it is left running"),
        (hold("escalate", in_the_end="contain"), True, "any manager will be asked; if they are silent too, it is contained"),
    ],
)
def test_what_silence_means_is_said_before_it_happens(waiting, restricted, sentence):
    assert said.at_zero(waiting, restricted=restricted) == sentence


@pytest.mark.parametrize(
    ("state", "facts", "tone", "sentence"),
    [
        ("approved", {"closed_by": "Omar"}, "ok", "Omar said “contain now” at 12:00:00 UTC."),
        (
            "rejected",
            {"closed_by": "Omar", "closed_because": "batch"},
            "accent",
            "Omar said “leave it running” at 12:00:00 UTC. “batch”",
        ),
        ("lapsed", {"lapsed_to": "contain"}, "warn", "Nobody answered in time; as announced, it was contained at 12:00:00 UTC."),
        ("lapsed", {"lapsed_to": "release"}, "warn", "Nobody answered in time; as announced, it was left running at 12:00:00 UTC."),
        ("withdrawn", {"closed_because": "it ended"}, "quiet", "This hold was withdrawn at 12:00:00 UTC: it ended."),
    ],
)
def test_an_ended_hold_says_who_when_and_never_calls_silence_a_no(state, facts, tone, sentence):
    assert said.ending(hold("release", state=state, closed_at=NOON, **facts)) == (tone, sentence)


def test_access_that_lives_on_is_said_before_anything_is_called_contained():
    cut = step("credential.revoke", "verifying", residual_until=NOON + timedelta(hours=1))
    assert said.run_sentence(Run(state="verifying"), [cut], NOON) == (
        "warn",
        "Cut, and not over yet: access that was given before may live until 13:00:00 UTC.",
    )


def test_a_release_that_keeps_its_restriction_for_a_while_says_until_when():
    run = Run(state="undoing", next_at=NOON + timedelta(hours=1), undo_reason="nobody answered")
    assert said.run_sentence(run, [], NOON)[1] == "Left running. What was restricted meanwhile is put back at 13:00:00 UTC."


@pytest.mark.parametrize("state", sorted(RUN.states - {"undoing", "undone", "withdrawn"}))
def test_every_state_of_a_run_has_a_sentence_that_ends(state):
    tone, sentence = said.run_sentence(Run(state=state), [], NOON)
    assert tone in {"quiet", "accent", "ok", "warn", "hot"}
    assert sentence.endswith(".")
    assert "_" not in sentence


@pytest.mark.parametrize("state", ["needs_human", "failed", "partial", "accepted", "pending"])
@pytest.mark.parametrize("because", ["no connector acts on it", "No connector acts on it."])
def test_a_reason_ends_in_one_full_stop_whoever_wrote_it(state, because):
    _, sentence = said.run_sentence(Run(state=state, because=because), [], NOON)
    assert "connector acts on it." in sentence
    assert ".." not in sentence


CUTS = {"soft": [], "hard": [{"disruptive": True}]}
READING = {"measure": "session.restrict", "parameters": {"mode": "read_only"}}


@pytest.mark.parametrize(
    ("terms", "stage", "lines"),
    [
        ({}, "hard", ()),
        ({"lasts_s": 14400}, "hard", ("It ends by itself 4 h after it is contained.",)),
        ({"unproven": "hard"}, "soft", ("If it does not hold, the hard stage follows at once.",)),
        ({"unproven": "hold"}, "soft", ("If it does not hold, people are asked for the hard stage.",)),
        ({"unproven": "hold"}, "hard", ()),
        (
            {"reinstatement": [{"steps": [READING], "watch_s": 600}, {"steps": [READING], "watch_s": 60}]},
            "hard",
            ("Put back, it comes in levels: restrict it to reading and 1 more, each watched.",),
        ),
    ],
)
def test_what_a_plan_says_beside_its_steps_is_read_before_somebody_approves(terms, stage, lines):
    assert said.terms(Run(terms=terms, plan=CUTS), stage=stage) == lines
