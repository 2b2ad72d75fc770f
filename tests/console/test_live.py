"""The socket: it tells those who may read that something changed, says nothing else, and ends with the session."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer

from accounts.models import Person
from audit.nudges import WATCHERS
from console import live
from tests.console.people import signed_in

pytestmark = pytest.mark.django_db(transaction=True)
NEWS = {"type": "changed", "verb": "hold.opened", "refs": ["hold:1"], "seq": 7}
REFUSED = {"type": "websocket.close", "code": 4401}


@pytest.fixture
def socket(settings, valkey):
    """A socket that asks to be let in, with the session of a client's cookie or with none; behind what config.asgi puts before it."""
    from channels.auth import AuthMiddlewareStack

    settings.CHANNEL_LAYERS = {"default": settings.CHANNEL_LAYERS["default"] | {"CONFIG": {"hosts": [valkey.url(1)]}}}

    async def asking(client=None):
        cookie = f"sessionid={client.cookies['sessionid'].value}" if client else ""
        scope = {"type": "websocket", "path": "/ws/live/", "headers": [(b"cookie", cookie.encode())], "query_string": b""}
        communicator = ApplicationCommunicator(AuthMiddlewareStack(live.Watcher.as_asgi()), scope)
        await communicator.send_input({"type": "websocket.connect"})
        return communicator

    return asking


async def heard(communicator):
    return json.loads((await communicator.receive_output(timeout=5))["text"])


def answer_of(output):
    return {name: output[name] for name in ("type", "code") if name in output}


def test_a_watcher_hears_the_servers_time_and_then_what_changed(socket):
    client = signed_in("wren")

    async def story():
        communicator = await socket(client)
        accepted = await communicator.receive_output(timeout=5)
        hello = await heard(communicator)
        await get_channel_layer().group_send(WATCHERS, NEWS)
        news = await heard(communicator)
        await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await communicator.wait(timeout=5)
        return accepted["type"], hello, news

    accepted, hello, news = async_to_sync(story)()
    assert accepted == "websocket.accept"
    assert hello["type"] == "hello"
    assert isinstance(hello["server_ms"], int)
    assert news == NEWS


def test_nobody_watches_without_a_session(socket):
    async def story():
        return await (await socket()).receive_output(timeout=5)

    assert answer_of(async_to_sync(story)()) == REFUSED


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!"}], ids=["deactivated", "new password"])
def test_a_session_that_no_longer_stands_opens_no_socket(socket, change):
    client = signed_in("wren")
    Person.objects.filter(username="wren").update(**change)

    async def story():
        return await (await socket(client)).receive_output(timeout=5)

    assert answer_of(async_to_sync(story)()) == REFUSED


def test_the_socket_closes_when_its_session_has_ended(socket, monkeypatch):
    monkeypatch.setattr(live, "RECHECK_S", 0.05)
    client = signed_in("wren")

    async def story():
        communicator = await socket(client)
        await communicator.receive_output(timeout=5)
        await heard(communicator)
        await sync_to_async(client.logout)()
        return await communicator.receive_output(timeout=5)

    assert answer_of(async_to_sync(story)()) == REFUSED
