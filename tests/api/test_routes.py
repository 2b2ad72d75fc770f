"""Every route says what it needs, so that none is open by forgetting."""

from collections.abc import Iterator

import pytest
from django.urls import URLPattern, get_resolver

from accounts.allowed import PUBLIC, needs_of
from accounts.roles import PERMISSIONS

# Routes whose views others wrote, by name: why each is safe without a declaration of ours.
OF_OTHERS = {
    "account_login": "the way in",
    "account_logout": "acts on the caller's own session",
    "account_inactive": "a sentence",
    "account_signup": "closed by accounts.adapter.NoSignUp",
    "account_reauthenticate": "asks for the password of whoever is signed in",
    "account_email": "sign-in required; one's own addresses",
    "account_email_verification_sent": "a sentence",
    "account_confirm_email": "holds a secret of its own",
    "account_change_password": "sign-in required; one's own password",
    "account_set_password": "sign-in required; one's own password",
    "account_reset_password": "answers the same for everybody",
    "account_reset_password_done": "a sentence",
    "account_reset_password_from_key": "holds a secret of its own",
    "account_reset_password_from_key_done": "a sentence",
    "account_confirm_login_code": "holds a secret of its own",
}


def routes(patterns=None, prefix="") -> Iterator[tuple[str, URLPattern]]:
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        where = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield where, entry
        else:
            yield from routes(entry.url_patterns, where)


def test_every_route_declares_what_it_needs():
    silent = [
        f"/{where} ({route.lookup_str})" for where, route in routes() if needs_of(route.callback) is None and route.name not in OF_OTHERS
    ]
    assert not silent, f"These routes say neither what they need nor that they are public: {silent}"


def test_every_need_is_a_permission_that_exists():
    for where, route in routes():
        needs = needs_of(route.callback)
        for need in [] if needs is None else needs.values() if isinstance(needs, dict) else [needs]:
            assert need == PUBLIC or need in PERMISSIONS, where


def test_the_walk_finds_ours_and_theirs():
    names = {route.name for _, route in routes()}
    assert {"sign_in_link", "account_login"} <= names


@pytest.mark.parametrize("name", sorted(OF_OTHERS))
def test_no_exemption_outlives_its_route(name):
    assert name in {route.name for _, route in routes()}
