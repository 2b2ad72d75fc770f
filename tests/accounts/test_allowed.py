"""Guarding a view: sign in first, no with who could, or come in."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse

from accounts import people
from accounts.allowed import PUBLIC, allowed, needs_of, public
from core.actor import SYSTEM, Actor


@allowed("hold.answer")
def answer(request):
    assert type(request.actor) is Actor
    return HttpResponse(request.actor.name)


@allowed("hold.answer")
async def answer_later(request):
    return HttpResponse(request.actor.name)


@pytest.fixture
def ines(db):
    return people.add("ines", name="Ines", roles=["analyst"], actor=SYSTEM)


@pytest.fixture
def wren(db):
    return people.add("wren", name="Wren", roles=["auditor"], actor=SYSTEM)


def asked(rf, user, **headers):
    request = rf.get("/holds/1/?tab=plan", headers=headers)
    request.user = user
    return request


def test_somebody_who_may_comes_in(rf, ines):
    assert answer(asked(rf, ines)).content == b"Ines"


@pytest.mark.django_db(transaction=True)
def test_somebody_who_may_comes_into_an_async_view(rf, ines):
    assert async_to_sync(answer_later)(asked(rf, ines)).content == b"Ines"


def test_somebody_who_is_not_signed_in_goes_to_the_sign_in_page_and_back(rf):
    answered = answer(asked(rf, AnonymousUser()))
    assert answered.status_code == 302
    assert answered["Location"] == "/accounts/login/?next=/holds/1/%3Ftab%3Dplan"


def test_a_fragment_for_nobody_sends_the_whole_page_to_sign_in(rf):
    request = asked(rf, AnonymousUser())
    request.htmx = True
    assert answer(request)["HX-Redirect"] == "/accounts/login/"


def test_somebody_who_may_not_is_told_who_could(rf, ines, wren):
    with pytest.raises(PermissionDenied) as refusal:
        answer(asked(rf, wren))
    assert str(refusal.value) == "Answering holds is for an analyst or a manager: Ines could. You are signed in as Wren."


def test_somebody_who_was_deactivated_is_nobody(rf, ines):
    ines.is_active = False
    assert answer(asked(rf, ines)).status_code == 302


def test_a_permission_that_does_not_exist_fails_when_the_view_is_loaded():
    with pytest.raises(LookupError):
        allowed("hold.anser")


def test_what_a_view_declares_can_be_read():
    @public
    def anybody(request): ...

    def silent(request): ...

    assert needs_of(answer) == needs_of(answer_later) == "hold.answer"
    assert needs_of(anybody) == PUBLIC
    assert needs_of(silent) is None
