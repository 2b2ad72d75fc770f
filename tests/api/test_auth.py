"""Who gets into the API: with a token, with a session, with neither, with the wrong one."""

import json

import pytest
from django.contrib.auth.models import AnonymousUser
from django.middleware.csrf import get_token
from django.test import RequestFactory
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import people, tokens
from api.routes import Endpoint
from core.actor import SYSTEM

pytestmark = pytest.mark.django_db


class Things(Endpoint):
    needs = {"GET": "read", "POST": "detections.write", "DELETE": "run.undo"}

    def get(self, request):
        return Response({"who": str(self.actor(request))})

    def post(self, request):
        return Response({"got": self.body(request), "source": self.actor(request).source}, status=201)

    def delete(self, request):
        return Response(status=204)


class Guarded(APIView):
    needs = "audit.verify"

    def get(self, request):
        return Response({})


class Silent(APIView):
    def get(self, request):
        return Response({})


@pytest.fixture
def ines():
    return people.add("ines", name="Ines", roles=["manager"], actor=SYSTEM)


@pytest.fixture
def wren():
    return people.add("wren", name="Wren", roles=["auditor"], actor=SYSTEM)


def token(owner, *scopes, source="edr-prod"):
    return tokens.issue(name="t", owner=owner, scopes=scopes, actor=SYSTEM, source=source)


def ask(method="GET", *, bearer=None, user=None, csrf=False, body=b"", content_type="application/json", view=Things, **headers):
    factory = RequestFactory()
    request = factory.generic(method, "/api/v1/things", body, content_type=content_type, headers=headers)
    if bearer is not None:
        request.META["HTTP_AUTHORIZATION"] = bearer
    request.user = user or AnonymousUser()
    if csrf:
        request.META["HTTP_X_CSRFTOKEN"] = get_token(request)
        request.COOKIES["csrftoken"] = request.META["CSRF_COOKIE"]
    answer = view.as_view()(request)
    if hasattr(answer, "render"):
        answer.render()
    return answer, json.loads(answer.content or b"null")


def code(*args, **kwargs):
    answer, body = ask(*args, **kwargs)
    return answer.status_code, body["code"] if answer.status_code >= 400 else None


def test_a_token_with_the_scope_comes_in_as_its_source(ines):
    _, text = token(ines, "detections.write")
    answer, body = ask("POST", bearer=f"Bearer {text}", body=b'{"a": 1}')
    assert answer.status_code == 201
    assert body == {"got": {"a": 1}, "source": "edr-prod"}


@pytest.mark.parametrize(
    ("bearer", "said"),
    [
        (None, "unauthenticated"),
        ("", "token_malformed"),
        ("Bearer", "token_malformed"),
        ("Bearer hf_", "token_malformed"),
        ("Basic aW5lczp4", "token_malformed"),
        ("Bearer hf_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "token_malformed"),
        ("Bearer \u00e9", "token_malformed"),
    ],
)
def test_without_a_good_token_the_answer_is_401(bearer, said):
    answer, body = ask("POST", bearer=bearer, body=b"{}")
    assert (answer.status_code, body["code"]) == (401, said)
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_token_of_another_scope_is_403_with_the_scope_it_lacks(ines):
    _, text = token(ines, "read")
    answer, body = ask("POST", bearer=f"Bearer {text}", body=b"{}")
    assert answer.status_code == 403
    assert "detections.write" in body["detail"]


@pytest.mark.parametrize(("bearer", "status"), [(False, 401), (True, 403)])
def test_the_door_is_checked_before_the_body(ines, bearer, status):
    shown = f"Bearer {token(ines, 'read')[1]}" if bearer else None
    assert code("POST", bearer=shown, body=b"\xff" * 10, content_type="text/plain; charset=bogus")[0] == status


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"a": ', "application/json", (400, "malformed")),
        (b" ", "application/json", (400, "malformed")),
        (b"{}", "application/json; charset=bogus", (415, "unsupported_media_type")),
        (b"a=1", "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
        (b" " * 1_048_577, "application/json", (413, "too_large")),
    ],
)
def test_a_bad_body_is_told_as_such(ines, body, content_type, expected):
    _, text = token(ines, "detections.write")
    assert code("POST", bearer=f"Bearer {text}", body=body, content_type=content_type) == expected


def test_a_person_reads_with_their_session(ines):
    _, body = ask(user=ines)
    assert body == {"who": f"person:{ines.pk}"}


def test_a_person_changes_nothing_without_the_csrf_token(ines):
    assert code("DELETE", user=ines) == (403, "forbidden")
    assert code("DELETE", user=ines, csrf=True) == (204, None)


def test_the_csrf_token_is_not_looked_for_in_a_form(ines):
    assert code("DELETE", user=ines, body=b"csrfmiddlewaretoken=x", content_type="application/x-www-form-urlencoded")[0] == 403


def test_a_person_without_the_role_is_told_who_could(ines, wren):
    answer, body = ask("DELETE", user=wren, csrf=True)
    assert answer.status_code == 403
    assert "Ines could" in body["detail"]


def test_no_token_does_what_only_people_do(ines):
    _, text = token(ines, "read", "detections.write", "guard.ask", "sessions.write")
    assert code("DELETE", bearer=f"Bearer {text}")[0] == 403


def test_a_bad_token_is_not_rescued_by_a_session(ines):
    assert code(bearer="Bearer hf_x", user=ines) == (401, "token_malformed")


def test_a_revoked_token_is_401_at_once(ines):
    row, text = token(ines, "read")
    assert code(bearer=f"Bearer {text}")[0] == 200
    tokens.revoke(row.pk, actor=SYSTEM)
    assert code(bearer=f"Bearer {text}") == (401, "token_revoked")


def test_other_methods_are_405_for_those_who_are_known_and_401_for_others(ines):
    _, text = token(ines, "read")
    assert code("PUT", bearer=f"Bearer {text}") == (405, "method_not_allowed")
    assert code("OPTIONS", bearer=f"Bearer {text}") == (405, "method_not_allowed")
    assert code("PUT")[0] == 401


def test_what_a_client_accepts_does_not_matter(ines):
    _, text = token(ines, "read")
    assert code(bearer=f"Bearer {text}", Accept="text/html;q=")[0] == 200


def test_a_view_may_ask_for_one_permission_by_name(ines, wren):
    assert code(user=wren, view=Guarded)[0] == 200
    assert code(user=ines, view=Guarded)[0] == 403


def test_a_view_that_declares_nothing_lets_nobody_in(ines):
    assert code(view=Silent)[0] == 401
    assert code(user=ines, view=Silent)[0] == 405


def test_a_method_without_a_declaration_does_not_load():
    with pytest.raises(TypeError, match="POST"):
        type("Open", (Endpoint,), {"needs": {"GET": "read"}, "get": ask, "post": ask})


def test_a_permission_that_nobody_has_does_not_load():
    with pytest.raises(TypeError, match="world"):
        type("Open", (Endpoint,), {"needs": {"GET": "world.rule"}, "get": ask})
