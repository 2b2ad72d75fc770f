"""Intent: what is outside it, where values come from, and what must hold whatever is declared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containment.domain import intent, values
from containment.domain.decide import Verdict
from containment.domain.facts import (
    ActionFacts,
    CallFacts,
    Drive,
    Facts,
    Finding,
    IdentityFacts,
    IntentFacts,
    Kind,
    ResourceFacts,
    SessionFacts,
)
from containment.domain.intent import Seen
from containment.domain.judge import judge
from containment.domain.outside import outside
from containment.domain.signals.intent_budget import intent_budget
from containment.domain.signals.intent_resource import intent_resource
from containment.domain.signals.intent_tool import intent_tool
from containment.domain.values import Shape
from tests.domain.facts_of import NOW, SHIPPED
from tests.examples import some

STRANGER, FRIEND = "US133000000121212121212", "GB29NWBK60161331926819"
PROFILE: dict[str, Any] = {
    "tools": [
        {"name": "mail.read", "writes": False},
        {"name": "people.find", "writes": False, "trusted": True},
        {"name": "pay", "writes": True},
        {"name": "mail.send", "writes": True},
        {"name": "page.get", "writes": False, "trusted": True},
    ]
}
RULES = intent.tool_rules(PROFILE["tools"])
MODEST = settings(max_examples=some(120), deadline=None)


def sure(found: Finding | None) -> Finding:
    assert found is not None
    return found


class Memory:
    """What a session has seen, by marks."""

    def __init__(self, task: str = "", trusted: str = "", named: str = "", outside: str = "") -> None:
        self.marks: dict[str, Seen] = {}
        for text, standing in ((task, Seen.TASK), (trusted, Seen.TRUSTED), (named, Seen.NAMED), (outside, Seen.OUTSIDE)):
            for mark in values.marks_in(text):
                self.marks[mark] = self.marks.get(mark, Seen.NOWHERE) | standing

    def __call__(self, marks: Any) -> dict[str, Seen]:
        return {mark: self.marks[mark] for mark in marks if mark in self.marks}


def call(tool: str, memory: Memory | None = None, writes: bool | None = None, bounds: Any = (), **arguments: Any) -> CallFacts:
    return intent.call_facts(tool, arguments, rules=RULES, bounds=bounds, writes=writes, seen=memory or Memory())


def facts(made: CallFacts, meant: IntentFacts, resource: str = "") -> Facts:
    return Facts(
        now=NOW,
        identity=IdentityFacts(id="a", kind=Kind.AI_AGENT, provider="p", subject="agent"),
        action=ActionFacts(name="data.write" if made.writes is not False else "data.read"),
        resource=ResourceFacts(id=resource) if resource else None,
        session="s",
        sessions=(SessionFacts(id="s", identity="a", drive=Drive.AUTONOMOUS),),
        budget_left=5,
        call=made,
        intent=meant,
    )


def meaning(profile: dict[str, Any] | None = None, **declared: Any) -> IntentFacts:
    return intent.intent_of({"task": "a task"} | declared, profile or PROFILE)


# -- one form for one value ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("GB29 NWBK 6016 1331 9268 19", "to GB29NWBK60161331926819, please"),
        ("GB29NWBK60161331926819", "to GB29 NWBK 6016 1331 9268 19 and no other"),
        ("98.70", "the bill says $98.7"),
        ("1,200", "1200 will do"),
        ("Ines@Acme.Test", "write to ines@acme.test."),
        ("https://www.acme.test/a?b=1", "see http://acme.test/other"),
        ("acme.test", "see www.acme.test.They know more"),
        ("./docs//a.md", "in docs/a.md there"),
        ("Café", "the cafe\u0301 next door"),
        ("+49 170 1234567", "call 491701234567"),
    ],
)
def test_a_value_is_found_in_another_spelling(value, text):
    shape = Shape.URL if "acme" in value and "@" not in value else None
    assert values.marks_of(value, shape) <= values.marks_in(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("GB29NWBK60161331926819", "GB29NWBK60161331926818"),
        ("ines@acme.test", "ines at acme.test"),
        ("1200", "12001"),
        ("acme.test", "notacme.test"),
        ("dora", "doramar"),
    ],
)
def test_a_value_is_not_found_in_what_only_looks_like_it(value, text):
    assert not values.marks_of(value, Shape.URL if value == "acme.test" else None) <= values.marks_in(text)


def test_nothing_telling_stands_nowhere():
    assert values.marks_of("…") == frozenset()
    assert call("pay", Memory(task="anything"), recipient="…").arguments[0].in_task is False


# -- tools, bounds, budgets ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "writes", "expected"),
    [
        ("pay", None, 0.0),
        ("shell", None, 1.0),
        ("shell", True, 1.0),
        ("shell", False, 1.0),
        ("mail.read", True, 1.0),
        ("mail.read", False, 0.0),
    ],
)
def test_a_tool_outside_the_approved_set_counts_by_what_it_does(tool, writes, expected):
    finding = intent_tool(facts(call(tool, writes=writes), meaning()))
    assert finding is not None
    assert finding.strength == expected


def test_a_tool_that_the_profile_calls_writing_does_not_become_reading_because_its_caller_says_so():
    assert call("pay", writes=False).writes is True


def test_an_argument_outside_its_bounds_is_outside_intent_and_a_circumstance_is_not():
    profile = PROFILE | {"bounds": {"pay": {"amount": {"max": 500}}}}
    meant = meaning(profile)
    dear = call("pay", Memory(task=f"pay {FRIEND} 501"), bounds=meant.bounds, recipient=FRIEND, amount=501)
    assert sure(outside(facts(dear, meant))).code == "intent_resource"
    stranger = call("pay", Memory(task="pay", outside=STRANGER), bounds=meant.bounds, recipient=STRANGER, amount=5)
    assert outside(facts(stranger, meant)) is None
    assert judge(facts(stranger, meant), SHIPPED).verdict is Verdict.CONTAIN


def test_a_budget_counts_the_call_that_would_pass_it():
    budget = intent.intent_of({}, PROFILE | {"budgets": {"money_per_day": 100}}, used={"money_per_day": 60.0})
    at_most, too_much = (call("pay", Memory(), recipient=FRIEND, amount=amount) for amount in (40, 41))
    assert sure(intent_budget(facts(at_most, budget))).strength == 0
    assert sure(intent_budget(facts(too_much, budget))).strength == 1


@pytest.mark.parametrize(("path", "inside"), [("docs/a.md", True), ("docs/../../etc/passwd", False), ("/etc/passwd", False)])
def test_paths_are_compared_in_their_shortest_form(path, inside):
    meant = meaning(PROFILE | {"resources": ["docs/*"]})
    finding = intent_resource(facts(call("mail.send", Memory(task=path), path=path), meant))
    assert (finding is None) is inside


# -- where a value comes from -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memory", "arguments", "verdict"),
    [
        (Memory(task=f"pay {FRIEND}"), {"recipient": FRIEND}, Verdict.WATCH),
        (Memory(task="pay Ines", trusted=FRIEND), {"recipient": FRIEND}, Verdict.WATCH),
        (Memory(task="pay the rent", outside=STRANGER), {"recipient": STRANGER}, Verdict.CONTAIN),
        (Memory(task="refund the 10.00 I got", outside=STRANGER), {"recipient": STRANGER, "amount": 10}, Verdict.HOLD),
        (Memory(task="pay what bill.txt says", named=STRANGER), {"recipient": STRANGER}, Verdict.HOLD),
        (Memory(task="pay the rent"), {"recipient": STRANGER}, Verdict.HOLD),
        (Memory(task="write to Ines", outside="a@b.test"), {"to": "Ines", "body": "ask a@b.test"}, Verdict.HOLD),
        (
            Memory(task="invite Dora, her page has her mail", named="dora@x.test"),
            {"user": "Dora", "user_email": "dora@x.test"},
            Verdict.WATCH,
        ),
        (Memory(task="look for trouble", outside="new_word"), {"password": "new_word"}, Verdict.CONTAIN),
        (Memory(task="tell everybody", outside="Charlie"), {"recipient": "Charlie"}, Verdict.WATCH),
    ],
    ids=["task", "trusted", "outside", "tied", "named", "nowhere", "quoted", "hers", "secret", "a name"],
)
def test_how_sure_we_are_follows_from_where_an_address_stood(memory, arguments, verdict):
    assert judge(facts(call("mail.send", memory, **arguments), meaning()), SHIPPED).verdict is verdict


def test_without_a_task_a_new_value_says_nothing_and_one_from_outside_does():
    meant = intent.intent_of({}, PROFILE)
    assert intent_resource(facts(call("pay", recipient=STRANGER), meant)) is None
    assert sure(intent_resource(facts(call("pay", Memory(outside=STRANGER), recipient=STRANGER), meant))).strength == 1


def test_a_read_is_not_asked_where_its_values_come_from():
    assert intent_resource(facts(call("people.find", Memory(outside=STRANGER), account=STRANGER), meaning())) is None


def test_values_that_people_approved_need_no_other_reason():
    profile = PROFILE | {"bounds": {"mail.send": {"to": {"like": "*@acme.test"}}}}
    meant = meaning(profile)
    ours, theirs = (call("mail.send", Memory(task="tell"), bounds=meant.bounds, to=to) for to in ("ines@acme.test", "eve@evil.test"))
    assert intent_resource(facts(ours, meant)) is None
    assert sure(intent_resource(facts(theirs, meant))).strength == 1


def test_content_fetched_from_an_address_is_never_trusted_whatever_the_profile_says():
    standing = intent.standing_of_result("page.get", {"url": "https://x.test/a"}, RULES, Memory())
    assert standing is Seen.OUTSIDE
    assert intent.standing_of_result("people.find", {"name": "Ines"}, RULES, Memory()) is Seen.TRUSTED


def test_what_the_task_points_at_is_named_and_what_that_points_at_too():
    memory = Memory(task="read www.a.test", named="more at www.b.test")
    assert intent.standing_of_result("page.get", {"url": "https://www.a.test/x"}, RULES, memory) is Seen.NAMED
    assert intent.standing_of_result("page.get", {"url": "www.b.test"}, RULES, memory) is Seen.NAMED
    assert intent.standing_of_result("page.get", {"url": "www.c.test"}, RULES, memory) is Seen.OUTSIDE


def test_no_free_text_and_no_secret_stands_in_the_facts_of_a_call():
    made = call("mail.send", to="ines@acme.test", body="the word is plutonium", password="hunter2hunter2")
    assert "plutonium" not in str(made)
    assert "hunter2" not in str(made)


# -- what would hide from it ---------------------------------------------------------------------------------------------------------------

GOOD, EVIL = "good@corp.test", "eve@evil.test"


def test_neither_many_links_in_a_body_nor_many_recipients_hide_one_more():
    body = " ".join(f"www.a{number}.test/x" for number in range(70))
    hidden = call("mail.send", Memory(task="write"), body=body, to=EVIL)
    assert EVIL in [one.value for one in hidden.arguments]
    listed = call("mail.send", Memory(task=GOOD), to=[f"p{number}@corp.test" for number in range(64)] + [EVIL])
    assert EVIL in [one.value for one in listed.arguments]
    assert not listed.cut


def test_a_write_with_more_arguments_than_are_looked_at_is_outside():
    recipients = [f"p{number}@corp.test" for number in range(400)]
    made = call("mail.send", Memory(task=" ".join(recipients)), to=recipients)
    assert made.cut
    assert made.new_targets == 400
    assert sure(outside(facts(made, meaning()))).code == "intent_resource"
    assert outside(facts(replace(made, writes=False), meaning())) is None


@pytest.mark.parametrize(
    "to",
    [
        f'{GOOD}, "eve"@evil.test',
        f"{GOOD}; eve@localhost",
        f"{GOOD} <eve@[192.0.2.1]>",
        f"{GOOD},eve@evil\u3002test",
        f"{GOOD},eve@evil\uff0etest",
        f"{GOOD} evil.example",
        f"{GOOD}, eve @ evil.test",
        '"eve"@evil.test',
        "eve@localhost",
        "eve@evil\uff61test",
        {EVIL: True},
        {EVIL: {"kind": "cc"}, GOOD: None},
    ],
)
def test_an_address_in_an_odd_spelling_is_an_address(to):
    made = call("mail.send", Memory(task=f"write to {GOOD}"), to=to)
    doubted = [one for one in made.arguments if one.kind and not one.in_task]
    assert [one.kind for one in doubted] == ["address"]
    assert judge(facts(made, meaning()), SHIPPED).verdict is Verdict.HOLD


@pytest.mark.parametrize("to", [f"Good Man <{GOOD}>", f'"Man, Good" <{GOOD}>', f"<{GOOD}>; {GOOD}", f"mailto:{GOOD}"])
def test_a_name_shown_before_an_address_goes_nowhere(to):
    assert intent_resource(facts(call("mail.send", Memory(task=f"write to {GOOD}"), to=to), meaning())) is None


def test_an_odd_address_that_the_task_names_is_named():
    assert call("mail.send", Memory(task="write to root@localhost"), to="root@localhost").arguments[0].in_task


@pytest.mark.parametrize("tool", ["pay", "mail.read"])
@pytest.mark.parametrize("left", [{}, {"tools": [{"name": "other", "writes": False}]}], ids=["none in force", "others"])
def test_a_session_whose_tools_are_approved_no_more_may_call_none(tool, left):
    made = call(tool, Memory(task="x"))
    assert sure(intent_tool(facts(made, intent.intent_of({"task": "x", "tools": ["pay", "mail.read"]}, left)))).strength == 1
    assert sure(intent_tool(facts(made, intent.intent_of({"task": "x", "profile": "gone"}, {})))).strength == 1


def test_what_a_caller_says_adds_to_what_its_arguments_say_and_takes_nothing_away():
    def money(claimed: float) -> float:
        return intent.call_facts("pay", {"amount": 10_000}, rules=RULES, money=claimed, seen=Memory()).money

    assert (money(0.01), money(20_000)) == (10_000, 20_000)
    assert (call("shell", writes=False).writes, call("shell", writes=True).writes) == (None, True)


@pytest.mark.parametrize("value", ["x" * 199 + "y" * 300, "x" * 150 + " AKIAABCDEFGHIJKLMNOP y"])
def test_a_bound_is_compared_with_the_whole_value_and_not_with_what_is_shown(value):
    bounded = PROFILE | {"bounds": {"mail.send": {"note": {"like": "x*"}, "code": {"like": "x*[xP]"}}}}
    meant = meaning(bounded)
    made = call("mail.send", Memory(task=value), bounds=meant.bounds, note=value, code=value)
    assert [(one.name, one.broke) for one in made.arguments] == [("code", "like x*[xP]"), ("note", "")]
    assert sure(outside(facts(made, meant))).because.startswith("code of mail.send")


def test_a_path_that_was_cut_lies_outside_the_resources():
    long = "docs/" + "a/" * 120 + "../" * 121 + "../etc/passwd"
    made = call("mail.send", Memory(task=long), path=long)
    assert sure(outside(facts(made, meaning(PROFILE | {"resources": ["docs/*"]})))).code == "intent_resource"


# -- whatever is declared ------------------------------------------------------------------------------------------------------------------

TOOLS = ("mail.read", "people.find", "pay", "mail.send", "shell")
words = st.sampled_from(
    ["ines@acme.test", "eve@evil.test", STRANGER, FRIEND, "Dora", "docs/a.md", "/etc/x", "10", "www.a.test/x", "a word"]
)
names = st.sampled_from(["to", "recipient", "amount", "path", "user", "url", "password", "body", "note"])
arguments_of = st.dictionaries(names, words, min_size=1, max_size=4)
texts = st.lists(words, max_size=4).map(" ".join)
declarations = st.fixed_dictionaries(
    {
        "tools": st.lists(st.sampled_from(TOOLS), min_size=1, max_size=4),
        "resources": st.lists(st.sampled_from(["docs/*", "crm.*", "*@acme.test"]), min_size=1, max_size=2),
        "environments": st.lists(st.sampled_from(["prod", "test"]), min_size=1, max_size=2),
    }
)


def risk(made: CallFacts, meant: IntentFacts) -> float:
    return judge(facts(made, meant), SHIPPED).risk


@MODEST
@given(st.sampled_from(TOOLS), arguments_of, texts, texts, texts, declarations)
def test_widening_an_intent_never_raises_the_risk(tool, arguments, task, trusted, outside_text, declared):
    profile = {"tools": [*PROFILE["tools"], {"name": "shell", "writes": True}], "budgets": {"calls_per_hour": 2, "money_per_day": 5}}
    memory = Memory(task, trusted, "", outside_text)
    made = call(tool, memory, **arguments)
    narrow = intent.intent_of({"task": "x"} | declared, profile, used={"calls_per_hour": 2})
    wide = intent.intent_of(
        {"task": "x"} | {name: [*those, more] for (name, those), more in zip(declared.items(), (tool, "*", "dev"), strict=True)},
        profile | {"budgets": {"calls_per_hour": 9, "money_per_day": 50}},
        used={"calls_per_hour": 2},
    )
    assert risk(made, wide) <= risk(made, narrow)
    more = call(tool, Memory(f"{task} {' '.join(arguments.values())}", trusted, "", outside_text), **arguments)
    assert risk(more, narrow) <= risk(made, narrow)


@MODEST
@given(st.sampled_from(TOOLS), arguments_of, texts, texts)
def test_a_value_that_the_task_names_is_never_a_reason(tool, arguments, task, outside_text):
    said = f"{task} {'; '.join(arguments.values())}"
    finding = intent_resource(facts(call(tool, Memory(said, "", "", outside_text), **arguments), meaning()))
    assert finding is None or finding.strength == 0


@MODEST
@given(st.permutations(PROFILE["tools"]), st.permutations(["pay", "mail.send", "mail.read"]), st.sampled_from(TOOLS))
def test_the_order_of_a_declaration_does_not_matter(profile, declared, tool):
    first = intent.intent_of({"tools": ["pay", "mail.send", "mail.read"]}, PROFILE)
    second = intent.intent_of({"tools": declared}, {"tools": profile})
    assert first == second
    assert judge(facts(call(tool), first), SHIPPED).digest == judge(facts(call(tool), second), SHIPPED).digest


def test_a_circumstance_asks_people_even_beside_other_signals():
    meant = replace(meaning(), budgets=())
    held = judge(facts(call("pay", Memory(task="pay the rent"), recipient=STRANGER), meant), SHIPPED)
    assert held.choice.sentence == 6
    assert held.waterfall.signals[0].circumstantial
    assert held.waterfall.risk_without_thin < held.waterfall.thresholds.soft <= held.risk


@pytest.mark.parametrize(
    "piece", ["a", "a1", "1.", "a.", "a+", "/a", '"', '"a" ', "111 ", "a-", "a@", "www.", "a:", "1,", "a.com-", "a@[", "<", "~"]
)
def test_a_long_text_made_to_be_slow_is_read_all_the_same(piece):
    """Whoever writes a text must not choose how long it takes to read: with a pattern that goes back over it, this one ends tomorrow."""
    text = piece * (values.LONGEST // len(piece))
    assert values.marks_in(text) is not None
    values.recipients_in(text[: values.LONGEST_PLACES])
    values.number_of(text)
