"""The embedded Valkey keeps what it was told, behind a socket and a password."""

from __future__ import annotations

import pytest
import redis
from kombu import Connection

from embedded import process
from embedded.account import for_servers
from embedded.valkey import ONCE, Valkey
from tests.servers import temporary_folder


@pytest.fixture
def server():
    made = Valkey(temporary_folder("valkey"), account=for_servers())
    made.start()
    yield made
    made.stop()


def test_what_it_was_told_is_there_after_a_restart(server):
    with redis.Redis.from_url(server.url()) as client:
        client.set("word", "kept")
    server.stop()
    server.start()
    with redis.Redis.from_url(server.url()) as client:
        assert client.get("word") == b"kept"


def test_nobody_enters_without_the_password(server):
    with redis.Redis(unix_socket_path=str(server.socket), retry=ONCE) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    assert server.url().split(":")[2].split("@")[0] not in process.command_of(server.process.pid)


def test_celery_reaches_it_through_the_broker_address(server):
    with Connection(server.broker_url()) as connection, connection.SimpleQueue("nudges") as queue:
        queue.put({"run": "r-1"})
        message = queue.get(timeout=5)
        message.ack()
        assert message.payload == {"run": "r-1"}


def test_a_server_left_on_the_data_is_stopped_before_a_new_one_starts(server):
    left = server.process
    again = Valkey(server.folder, account=server.account)
    again.start()
    try:
        assert left.wait(5) == 0
        assert again.answers()
    finally:
        again.stop()
