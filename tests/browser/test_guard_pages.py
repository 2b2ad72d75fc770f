"""The guard's pages in a real browser: calls appear by themselves, stand still when told to, fit every window, and are for everybody."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from accounts.models import Person
from audit import clock
from containment.models import Identity, Session
from guard import live
from guard.models import GuardCall
from tests import make
from tests.browser.conftest import WINDOWS
from tests.browser.windows import keeps_nobody_out, photograph, they_fit
from tests.console.test_guard_pages import HOSTILE, agent, called, denied
from tests.flows.test_session_use import profile

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def heard(call: GuardCall) -> GuardCall:
    """As after an answer, whenever the last one was."""
    live._last = float("-inf")
    live.heard(call.pk)
    return call


def test_a_call_appears_on_an_open_page_by_itself(as_person):
    who = agent()
    somebody = as_person("ines")
    page = somebody.go("/guard/")
    expect(somebody.is_live().get_by_text("No agent has asked yet")).to_be_visible()
    call = heard(called(who))
    page.locator(f"#call-{call.pk}").wait_for()
    expect(page.locator("#hour")).to_contain_text("1allowed")
    page.locator(f"#call-{call.pk}").click()
    expect(page.locator("#agents-side")).to_contain_text("Go on.")
    assert page.url.endswith(f"/guard/calls/{call.pk}/")
    assert somebody.complaints == []


def test_a_paused_list_stands_still_and_then_goes_on(as_person):
    who = agent()
    called(who)
    somebody = as_person("ines")
    page = somebody.go("/guard/")
    somebody.is_live()
    page.wait_for_load_state("networkidle")  # what it asked for as it came alive may be answered after the next call
    page.keyboard.press("p")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    call = heard(denied(who))
    expect(page.locator("#pause")).to_contain_text("something new")
    expect(page.locator(f"#call-{call.pk}")).to_have_count(0)
    page.keyboard.press("p")
    page.locator(f"#call-{call.pk}").wait_for()
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "false")
    assert somebody.complaints == []


def test_a_storm_of_nudges_is_a_request_a_second(as_person):
    who = agent()
    somebody = as_person("ines")
    page = somebody.go("/guard/")
    somebody.is_live()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "part=list" in request.url else None)
    page.evaluate("""() => { const list = document.getElementById("calls");
        for (let n = 0; n < 200; n += 1) list.dispatchEvent(new CustomEvent("nudge")); }""")
    call = heard(called(who))
    page.locator(f"#call-{call.pk}").wait_for()
    assert len(asked) <= 4


def test_the_list_narrows_while_it_is_open_and_stays_narrowed(as_person):
    mine, other = agent("mine"), agent("other")
    called(mine)
    called(other)
    somebody = as_person("ines")
    page = somebody.go("/guard/")
    somebody.is_live()
    page.locator("#stream-agent").select_option(str(mine.pk))
    expect(page.locator(".row.is-call")).to_have_count(1)
    assert f"agent={mine.pk}" in page.url
    heard(called(other))
    call = heard(called(mine, tool="ledger.read"))
    page.locator(f"#call-{call.pk}").wait_for()
    expect(page.locator(".row.is-call")).to_have_count(2)
    assert somebody.complaints == []


def test_without_script_the_list_is_read_and_narrowed_all_the_same(as_person):
    who = agent()
    call = denied(who)
    page = as_person("ines", java_script_enabled=False).go("/guard/")
    page.locator("#stream-tool").select_option("mail.send")
    page.get_by_role("button", name="Narrow").click()
    page.locator(f"#call-{call.pk}").click()
    expect(page.locator("#our-side")).to_contain_text("not among the tools")


def test_the_page_of_a_new_agent_lights_up_with_its_first_call(as_person):
    make.house()
    profile()
    somebody = as_person("enzo")
    page = somebody.go("/connect/")
    page.get_by_label("A new agent").fill("ledger-agent")
    page.get_by_label("What it was approved for").select_option("invoices")
    page.get_by_role("button", name="Make the token").click()
    expect(page.locator("#first-call")).to_contain_text("Waiting for the first call")
    somebody.is_live()
    page.locator(".ways summary").nth(2).click()
    expect(page.get_by_label("The curl lines", exact=True)).to_be_visible()
    expect(page.get_by_label("The Python lines", exact=True)).not_to_be_visible()
    owner = str(Person.objects.get(username="enzo").pk)
    heard(called(Identity.objects.get(subject="ledger-agent"), principal=owner))
    expect(page.locator("#first-call")).to_contain_text("First call: mail.read, allowed")
    assert somebody.complaints == []


def test_the_lines_to_copy_fit_their_window_and_are_for_everybody(as_person):
    make.house()
    profile()
    for theme, size, window in WINDOWS:
        somebody = as_person("enzo", size=window, theme=theme)
        page = somebody.go("/connect/")
        page.get_by_label("A new agent").fill("ledger-agent-" + "x" * 80)
        page.get_by_label("What it was approved for").select_option("invoices")
        page.get_by_role("button", name="Make the token").click()
        page.locator("#first-call").wait_for()
        photograph(page, f"made-{size}-{theme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= window[0]
        assert somebody.complaints == []
        keeps_nobody_out(page, theme=theme)


def test_pages_of_the_guard_fit_their_window_in_both_themes(as_person):
    pages = _hour()
    they_fit(as_person, pages, light="enzo", dark="enzo")


def test_pages_of_the_guard_are_for_everybody_in_both_themes(as_person):
    pages = _hour()
    for theme, names in (("light", ("guard", "call", "session", "connect")), ("dark", ("guard", "call"))):
        somebody = as_person("enzo", theme=theme)
        for path in (pages[name] for name in names):
            page = somebody.go(path)
            somebody.is_live()
            keeps_nobody_out(page, theme=theme)


def _hour() -> dict[str, str]:
    """An hour with a little of everything, names that were meant to hurt among them; the pages that show it."""
    make.house()
    invoice, support, evil = agent(), agent("support-copilot"), agent(HOSTILE)
    make.workflow(
        "invoices",
        [],
        tools=[{"name": "ledger.read", "writes": False}, {"name": "mail.read", "writes": False}, {"name": "payments.book", "writes": True}],
        resources=["ledger.*", "invoices/2026/*"],
        budgets={"writes_per_session": 3, "calls_per_minute": 60, "money_per_session": 2000},
        bounds={"payments.book": {"amount": {"max": 2000}}},
        environments=["prod"],
    )
    session = _session(invoice)
    chat = make.session(support, "chat-118")
    lair = make.session(evil, HOSTILE)
    for number in range(12):
        tool, on = (("ledger.read", "2026-10"), ("mail.read", "inbox"))[number % 2]
        called(invoice, session=session, tool=tool, resource_kind="ledger", resource=on, ago=600 - number * 20, outcome="done")
    denied(invoice, session=session, ago=220, risk=42.5)
    held = {"verdict": "hold", "reason": "approval_required", "tool": "payments.book", "writes": True, "risk": 37.1}
    called(invoice, session=session, ago=180, told="People have to decide about this first.", because="risk 37.1 is over 30.", **held)
    called(support, session=chat, ago=90, asked=False, tool="tickets.read", policy_version=0)
    called(support, session=chat, ago=60, tool="customers.reply", would_have="deny", reason="outside_intent", writes=True)
    nasty = denied(evil, session=lair, ago=30, tool=HOSTILE, resource_kind="file", resource=HOSTILE, because=HOSTILE, request=HOSTILE)
    last = denied(invoice, session=session, ago=2, resource_kind="mailbox", resource="stranger@elsewhere.example", risk=57.2)
    return {
        "guard": "/guard/",
        "call": f"/guard/calls/{last.pk}/",
        "hostile-call": f"/guard/calls/{nasty.pk}/",
        "session": f"/sessions/{session.pk}/",
        "hostile-session": f"/sessions/{lair.pk}/",
        "connect": "/connect/",
    }


def _session(who: Identity) -> Session:
    now = clock.now()
    parent = make.session(who, "month-end", intent={"profile": "invoices"})
    return make.session(
        who,
        "inv-2026-10-northwind",
        parent=parent,
        intent={"profile": "invoices", "task": "Pay the October invoice of Northwind, 1,250.00, to DE89 3704 0044 0532 0130 00."},
        claimed={"role": "clerk", "tenant": "acme"},
        gate="paused",
        gate_because="mail.send lies outside what was approved for it, and it writes.",
        gated_at=now - timedelta(seconds=220),
        gate_key="guard",
        expires_at=now + timedelta(hours=1),
    )
