"""Deciding in a real browser: what one person does reaches the other's screen, by keyboard, within the security policy, for everybody."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from accounts.models import Person
from approvals.models import Hold
from containment import flow
from tests import cast, make
from tests.browser import scene
from tests.browser.windows import keeps_nobody_out

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_somebody_signs_in_and_stands_before_the_queue(as_person):
    make.house()
    person = Person.objects.get(username="omar")
    person.set_password("a long enough password")
    person.save()
    somebody = as_person()
    page = somebody.go("/")
    page.get_by_label("User name").fill("omar")
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Needs a decision").wait_for()
    somebody.is_live()
    assert somebody.complaints == []


def test_a_hold_appears_on_an_open_page_and_its_answer_on_the_other(role, drive, as_person):
    make.house()
    omar, mara = as_person("omar", motion="no-preference"), as_person("mara", theme="dark")
    for somebody in (omar, mara):
        somebody.go("/")
        expect(somebody.is_live().get_by_text("All clear")).to_be_visible()
    held = scene.payment(role, drive).hold
    for somebody in (omar, mara):
        somebody.page.locator(f"#row-{held.pk}").wait_for()
    omar.page.locator(f"#row-{held.pk}").click()
    mara.page.locator(f"#row-{held.pk}").click()
    expect(mara.page.locator(".ring time-left")).to_have_text(re.compile(r"^1[45]:\d\d$"))
    expect(omar.page.locator("#answer")).to_be_visible()
    omar.page.keyboard.press("a")
    expect(omar.page.locator("#ending")).to_contain_text("Omar said “contain now”")
    expect(mara.page.locator("#ending")).to_contain_text("Omar said “contain now”")
    expect(mara.page.locator(f"#row-{held.pk}")).to_have_count(0)
    held.refresh_from_db()
    assert held.state == "approved"
    assert omar.complaints == mara.complaints == []


def test_leaving_it_running_asks_why_first(role, drive, as_person):
    held = _held(role, drive)
    somebody = as_person("omar")
    page = somebody.go(f"/holds/{held.pk}/")
    somebody.is_live()
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Leave it running?")
    dialog.get_by_role("button", name="Leave it running").click()  # without a reason the browser keeps it
    assert Hold.objects.get(pk=held.pk).state == "open"
    dialog.get_by_label("Why").fill("it is the monthly batch")
    dialog.get_by_role("button", name="Leave it running").click()
    expect(page.locator("#ending")).to_contain_text("“it is the monthly batch”")
    expect(dialog).to_have_count(0)
    assert Hold.objects.get(pk=held.pk).state == "rejected"
    assert somebody.complaints == []


def test_what_is_being_written_survives_what_others_do(role, drive, as_person):
    held = _held(role, drive)
    somebody = as_person("omar")
    page = somebody.go(f"/holds/{held.pk}/")
    somebody.is_live()
    page.keyboard.press("r")
    why = page.get_by_label("Why", exact=True)
    why.fill("it is the mon")
    flow.extend_hold(held.pk, actor=cast.person("mara"), reason="")
    expect(page.locator("#timeline")).to_contain_text("moved the deadline")
    expect(why).to_have_value("it is the mon")
    expect(why).to_be_focused()
    expect(page.locator(f"#row-{held.pk}")).to_have_attribute("aria-current", "true")


def test_without_script_the_answer_is_given_all_the_same(role, drive, as_person):
    held = _held(role, drive)
    page = as_person("omar", java_script_enabled=False).go(f"/holds/{held.pk}/")
    page.get_by_role("button", name="Leave it running").first.click()
    page.get_by_label("Why", exact=True).fill("it is the monthly batch")
    page.get_by_role("dialog").get_by_role("button", name="Leave it running").click()
    page.locator("#ending").wait_for()
    assert Hold.objects.get(pk=held.pk).state == "rejected"


def test_a_manager_puts_a_contained_identity_back(role, drive, as_person):
    make.house()
    decision = scene.contained(role, drive)
    somebody = as_person("mara")
    page = somebody.go(f"/cases/{decision.case.pk}/")
    expect(page.locator(".subject")).to_contain_text("The credential is revoked. Contained since")
    somebody.is_live()
    page.keyboard.press("u")
    page.get_by_label("Why", exact=True).fill("it was the migration")
    page.get_by_role("button", name="Put it back").last.click()
    expect(page.locator(".subject")).to_contain_text("in reverse order: it was the migration")
    drive(decision.run.pk)
    expect(page.locator(".subject")).to_contain_text("is as it was before")
    assert somebody.complaints == []


def test_queue_and_case_are_for_everybody_in_both_themes(role, drive, as_person):
    scenery = scene.build(role, drive)
    for theme in ("light", "dark"):
        somebody = as_person("mara", theme=theme)
        for path in ("/", f"/cases/{scenery.contained.pk}/"):
            page = somebody.go(path)
            somebody.is_live()
            keeps_nobody_out(page, theme=theme)


def _held(role, drive):
    make.house()
    return scene.payment(role, drive).hold
