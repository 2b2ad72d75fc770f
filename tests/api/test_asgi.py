"""Requests as a server hands them over: without a length, with headers that no client library would send."""

import asyncio
import json

import pytest
from asgiref.sync import async_to_sync
from django.core.asgi import get_asgi_application

from api.gate import MIB, FrontDoor
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bearer(connected) -> bytes:
    from accounts import tokens
    from accounts.models import Person
    from core.actor import SYSTEM

    make.house()
    owner = Person.objects.get(pk=cast.person("enzo").principal)
    _, text = tokens.issue(name="t", owner=owner, scopes=["detections.write"], actor=SYSTEM, source="edr-prod")
    return f"Bearer {text}".encode()


def posted(bearer: bytes, chunks: list[bytes], *, path: str = "/api/v1/detections", **headers: bytes):
    sent: list[dict] = []
    left = list(chunks)

    async def receive():
        if not left:
            await asyncio.Event().wait()  # a client that waits for its answer
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    named = {"host": b"testserver", "authorization": bearer, "content-type": b"application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    async_to_sync(FrontDoor(get_asgi_application()))(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(content)


def test_a_body_that_comes_in_pieces_without_a_length_is_read_whole(bearer):
    text = json.dumps(make.message()).encode()
    status, body = posted(bearer, [text[:50], text[50:90], text[90:]])
    assert (status, body["duplicate"]) == (201, False)


@pytest.mark.parametrize("length", [None, b"5", b"x", b"-1"])
def test_a_body_that_lies_about_its_length_is_still_too_large(bearer, length):
    headers = {} if length is None else {"content_length": length}
    chunks = [b'{"title": "'] + [b"x" * 64 * 1024] * 40
    assert posted(bearer, chunks, **headers)[0] in {400, 413}


def test_a_hundred_megabytes_are_refused_before_they_came(bearer):
    status, body = posted(bearer, [b"x" * MIB] * 100)
    assert (status, body["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "kind",
    [
        b"application/json; charset=bogus",
        b"application/json; charset*=bogus''x",
        b"application/json; charset*=utf-7''utf-8",
        b"application/json; charset*0*=bogus''a; charset*1=b",
        b"application/json; charset=\xff\xfe",
        b"application/json; =; ;;",
        b";",
        b"\xff",
    ],
)
def test_no_content_type_is_an_error_of_ours(bearer, kind):
    text = json.dumps(make.message()).encode()
    assert posted(bearer, [text], content_type=kind)[0] in {201, 400, 415}


@pytest.mark.parametrize("shown", [b"", b"Bearer", b"Bearer \xff\xfe", b"Bearer hf_\x00", b"Bearer " + b"hf_" * 2000, b"bearer\thf_x"])
def test_no_token_is_an_error_of_ours(bearer, shown):
    status, body = posted(shown, [b"{}"])
    assert (status, body["status"]) == (401, 401)


@pytest.mark.parametrize("path", ["/api/v1/detections/%00", "/api/v1/\x00", "/api/v1/detections/../holds", "/api/v1/\udcff"])
def test_no_path_is_an_error_of_ours(bearer, path):
    assert posted(bearer, [b"{}"], path=path.encode("utf-8", "surrogateescape").decode("latin-1"))[0] in {400, 404, 405}
