"""Messages go out signed, once, to places that were checked; and a receiver's OK proves nothing."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from connectors import optional
from connectors.base import (
    Ambiguous,
    ConnectorTrouble,
    Foreign,
    LockedOut,
    Measure,
    ProofLevel,
    Rejected,
    State,
    Step,
    Target,
    Unavailable,
)
from connectors.webhook import WebhookConnector, egress, signature
from tests.connectors.contract import KEY, Cutting, Scene
from tests.connectors.receiver import SECRET, Answer, Receiver

OFFER = {"inverse": "the state before", "residual_s": 0, "probe": "the receiver's record", "introspects": True}
TARGET = Target("webhook", "human", "omar", "0190a5b0-0000-7000-8000-00000000000c")
NOTIFY = Step(Measure.NOTIFY, TARGET, {"text": "A hold waits for you."})
DISABLE = Step(Measure.IDENTITY_DISABLE, TARGET)
NOTHING = State(contained=False, public={})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


def connector_to(receiver: Receiver, **settings: Any) -> WebhookConnector:
    offer = OFFER | settings.pop("offer", {})
    return WebhookConnector(url=receiver.url, secret=SECRET, private_hosts=["127.0.0.1"], measures={"identity.disable": offer}, **settings)


class TestWhatTheReceiverCuts(Cutting):
    @pytest.fixture
    def scene(self, receiver: Receiver) -> Scene:
        def contain() -> None:
            receiver.state = "cut"

        return Scene(connector_to(receiver), DISABLE, contain=contain, secrets=[SECRET])


def test_undo_asks_the_receiver_to_put_back_what_look_saw(receiver: Receiver) -> None:
    scene = Scene(connector_to(receiver), DISABLE)
    was = scene.look()
    scene.perform(was)
    assert receiver.state == "cut"
    assert scene.undo(was).changed
    assert not scene.undo(was).changed
    assert receiver.state == "open"


def test_a_message_is_signed_and_carries_what_the_playbook_says(receiver: Receiver) -> None:
    assert connector_to(receiver).perform(NOTIFY, key=KEY, was=NOTHING).changed
    [message] = receiver.messages
    assert receiver.refused == 0
    assert (message["type"], message["id"]) == ("holdfast.notify", KEY)
    assert message["data"]["target"]["subject"] == "omar"
    assert message["data"]["parameters"] == {"text": "A hold waits for you."}


def test_each_host_is_a_door_of_its_own() -> None:
    offered = OFFER | {"url": "https://people.example.org/cut"}
    connector = WebhookConnector(url="https://chat.example.org/in", secret=SECRET, measures={"identity.disable": offered})
    assert [optional.door(connector, measure) for measure in (Measure.NOTIFY, Measure.IDENTITY_DISABLE)] == [
        "chat.example.org",
        "people.example.org",
    ]


def test_the_same_attempt_again_is_the_same_message(receiver: Receiver) -> None:
    connector = connector_to(receiver)
    for _ in range(3):
        connector.perform(NOTIFY, key=KEY, was=NOTHING)
    assert receiver.done == 1


def test_the_signature_is_the_one_in_the_specification() -> None:
    """The example of Standard Webhooks 1.0.0."""
    headers = signature.headers(
        signature.secret_from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        message="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64", "whsec_" + "A" * 100])
def test_a_bad_secret_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(signature.BadSecret) as refused:
        signature.secret_from(text)
    assert not text or text not in str(refused.value)


def test_a_saboteur_that_says_ok_is_never_proven(receiver: Receiver) -> None:
    receiver.forgets = True
    scene = Scene(connector_to(receiver), DISABLE)
    was = scene.look()
    assert scene.perform(was).changed
    assert not any(scene.connector.probe(DISABLE, key=KEY, was=was).dead for _ in range(3))


def test_a_receiver_that_is_not_trusted_to_look_only_acknowledges(receiver: Receiver) -> None:
    scene = Scene(connector_to(receiver, offer={"introspects": False}), DISABLE)
    was = scene.look()
    scene.perform(was)
    assert scene.proof(was).level is ProofLevel.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("answer", "trouble", "retry_after"),
    [
        ((500, {}, b""), Ambiguous, None),
        ((502, {}, b"<html>"), Ambiguous, None),
        ((503, {"retry-after": "7"}, b""), Unavailable, 7.0),
        ((429, {}, b""), Unavailable, None),
        ((401, {}, b""), LockedOut, None),
        ((403, {}, b""), LockedOut, None),
        ((410, {}, b""), Rejected, None),
        ((409, {}, b'{"now": "somebody else\'s"}'), Foreign, None),
    ],
)
def test_what_the_receiver_answers_decides_what_happens_next(
    receiver: Receiver, answer: Answer, trouble: type[ConnectorTrouble], retry_after: float | None
) -> None:
    receiver.next_answer = lambda _: answer
    with pytest.raises(trouble) as said:
        connector_to(receiver).perform(NOTIFY, key=KEY, was=NOTHING)
    assert said.value.retry_after == retry_after


@pytest.mark.fault("F3")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("soon", None),
        ("²", None),
        ("٣", None),
        ("1e3", None),
        ("NaN", None),
        ("Thu, 99 Foo 2026 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 00:00:00 -0000", None),  # of no time zone: it names no moment
        ("0", 1.0),
        ("-5", 1.0),
        ("0.25", 1.0),
        ("7", 7.0),
        (" 90 ", 90.0),
        ("900", 900.0),
        ("901", 900.0),
        ("9" * 4000, 900.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 900.0),
    ],
)
def test_a_receiver_may_ask_for_patience_between_a_second_and_a_quarter_of_an_hour(
    receiver: Receiver, text: str, seconds: float | None
) -> None:
    receiver.next_answer = lambda _: (429, {"retry-after": text.encode().decode("latin-1")}, b"")
    with pytest.raises(Unavailable) as said:
        connector_to(receiver).perform(NOTIFY, key=KEY, was=NOTHING)
    assert said.value.retry_after == seconds
    assert receiver.done == 1


@pytest.mark.fault("F3")
def test_a_date_to_come_is_waited_for(receiver: Receiver) -> None:
    """A date's seconds are counted from now, so a minute ahead is a minute, or a little less."""
    ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=61), usegmt=True)
    receiver.next_answer = lambda _: (429, {"retry-after": ahead}, b"")
    with pytest.raises(Unavailable) as said:
        connector_to(receiver).perform(NOTIFY, key=KEY, was=NOTHING)
    assert said.value.retry_after is not None
    assert 1.0 < said.value.retry_after <= 61.0


@pytest.mark.fault("F4")
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_our_own_credential_says_so_and_is_tried_once(receiver: Receiver, status: int) -> None:
    receiver.next_answer = lambda _: (status, {}, b"")
    with pytest.raises(LockedOut, match="our own credential"):
        connector_to(receiver).look(DISABLE)
    assert len(receiver.messages) == 1


@pytest.mark.fault("F10")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    there = Receiver()
    try:
        for location in (there.url, "http://169.254.169.254/latest/meta-data/"):
            receiver.next_answer = lambda _, to=location: (status, {"location": to}, b"")
            with pytest.raises(Rejected, match="not followed"):
                connector_to(receiver).perform(NOTIFY, key=KEY, was=NOTHING)
        assert not there.messages
    finally:
        there.close()


@pytest.mark.fault("F5")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Please sign in</html>",
        b"[" * 50_000,
        b'{"contained": "yes"}',
        b'{"contained": true, "live_sessions": true}',
        b'{"contained": true, "public": []}',
        b'{"contained": true, "padding": "' + b"x" * egress.MOST_BYTES + b'"}',
    ],
)
def test_an_answer_that_cannot_be_read_contains_nobody(receiver: Receiver, content: bytes) -> None:
    receiver.next_answer = lambda _: (200, {}, content)
    with pytest.raises(Unavailable):
        connector_to(receiver).look(DISABLE)


@pytest.mark.fault("F6")
def test_a_compressed_answer_is_not_unpacked(receiver: Receiver) -> None:
    bomb = gzip.compress(b'{"contained": true, "padding": "' + b"x" * 30_000_000 + b'"}')
    for content in (gzip.compress(b'{"contained": true}'), bomb):
        receiver.next_answer = lambda _, body=content: (200, {"content-encoding": "gzip"}, body)
        with pytest.raises(Unavailable):
            connector_to(receiver).look(DISABLE)


@pytest.mark.fault("F6")
def test_an_endless_answer_is_left_after_its_first_kilobytes(receiver: Receiver) -> None:
    written, closed = [0], threading.Event()

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                written[0] += request.wfile.write(b"x" * 4096)
        except OSError:
            request.close_connection = True
            closed.set()

    receiver.next_answer = endless
    assert connector_to(receiver).perform(NOTIFY, key=KEY, was=NOTHING).changed  # it took the message, and talks too much
    assert closed.wait(10)
    assert egress.MOST_BYTES < written[0] < 20_000_000  # what the sockets between us hold


@pytest.mark.fault("F7")
@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b""])
def test_a_receiver_that_drips_is_left_at_the_deadline(receiver: Receiver, line: bytes) -> None:
    left = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        """A byte now and then, so that no single read is ever too slow."""
        try:
            request.wfile.write(line)
            while not left.wait(0.05):
                request.wfile.write(b"a")
        except OSError:
            request.close_connection = True

    receiver.next_answer = drip
    try:
        with pytest.raises(Ambiguous):
            connector_to(receiver).perform(Step(Measure.NOTIFY, TARGET, {}, deadline_s=1), key=KEY, was=NOTHING)
    finally:
        left.set()


def test_a_receiver_that_is_not_there_was_told_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    connector = WebhookConnector(url=f"http://127.0.0.1:{port}/", secret=SECRET, private_hosts=["127.0.0.1"])
    with pytest.raises(Unavailable):
        connector.perform(NOTIFY, key=KEY, was=NOTHING)


FORBIDDEN = [
    "http://example.com/",
    "ftp://example.com/",
    "//example.com/",
    "https://",
    "https://user:password@example.com/",
    "https://user@example.com/",
    "https://example.com:99999/",
    "https://exa mple.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/\r\nx: y",
    *(
        f"https://{host}/"
        for host in (
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "１２７.0.0.1",
            "localhost",
            "localhost.",
            "0.0.0.0",  # noqa: S104 - forbidden here
            "0",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::169.254.169.254]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[fe80::1]",
            "[fe80::1%25lo]",
            "[fc00::1]",
            "[ff02::1]",
            "[2001:db8::1]",
        )
    ),
]


@pytest.mark.fault("F9")
@pytest.mark.parametrize("url", FORBIDDEN)
def test_places_that_no_message_may_go_to_are_refused(url: str) -> None:
    with pytest.raises(Rejected):
        egress.place(url)


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "https://[2606:4700:4700::1111]:8443/path", "https://[::ffff:8.8.8.8]/"])
def test_public_addresses_may_be_reached(url: str) -> None:
    assert egress.place(url).addresses


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "[fe80::1]"])  # noqa: S104 - forbidden here
def test_a_host_of_ours_is_never_the_clouds_metadata(host: str) -> None:
    with pytest.raises(Rejected):
        egress.place(f"https://{host}/", private_hosts=[host.strip("[]")])


def test_a_host_of_ours_may_be_private_and_no_other(receiver: Receiver) -> None:
    assert connector_to(receiver).preflight(NOTIFY).can
    stranger = WebhookConnector(url=receiver.url, secret=SECRET)
    assert not stranger.preflight(NOTIFY).can
    with pytest.raises(Rejected):
        stranger.perform(NOTIFY, key=KEY, was=NOTHING)
    assert not receiver.messages


@pytest.mark.fault("F9")
def test_the_connection_goes_to_the_address_that_was_checked_and_the_name_is_kept(receiver: Receiver) -> None:
    """Whatever the name leads to by the time of the connection."""
    port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
    hosts: list[str] = []

    def note(request: BaseHTTPRequestHandler) -> Answer:
        hosts.append(request.headers["host"])
        return (200, {}, b"")

    receiver.next_answer = note
    checked = egress.place(receiver.url, private_hosts=["127.0.0.1"])
    rebound = egress.Place(f"http://moved-meanwhile.invalid:{port}/hooks", "moved-meanwhile.invalid", port, checked.addresses)
    assert egress.post(rebound, b"{}", {"content-type": "application/json"}, seconds=5).status == 200
    assert hosts == [f"moved-meanwhile.invalid:{port}"]
