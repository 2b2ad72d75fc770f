"""The gate: what gets in, and what is refused with which code at which path."""

import io
import json

import pytest
from asgiref.sync import async_to_sync
from hypothesis import given
from hypothesis import strategies as st

from api import gate
from core.refusals import BadInput

UNSTORABLE, TWICE, RANGE = "unstorable_character", "duplicate_key", "out_of_range"


def refused(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(gate.Malformed) as refusal:
        gate.parse(body)
    return [(fault.path, fault.code) for fault in refusal.value.faults]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": {"b": [1, 2.5, "x", true, null]}}', {"a": {"b": [1, 2.5, "x", True, None]}}),
        (b'"\\ud83d\\ude00"', "😀"),
        ("“quoted”".encode().join([b'"', b'"']), "“quoted”"),
        (b"9007199254740991", 2**53 - 1),
        (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
        (b'"' + b"[" * 5000 + b'"', "[" * 5000),
        (b'"\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', '"' + "[" * 38),
        (b" \r\n[ ] \t", []),
    ],
)
def test_plain_json_gets_in(body, value):
    assert gate.parse(body) == value


@pytest.mark.parametrize("zero", [b"-0", b"-0.0", b"-0e5"])
def test_there_is_one_zero(zero):
    assert str(gate.parse(zero)).startswith("0")


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (b"", [("", "empty")]),
        (b" \n", [("", "empty")]),
        (b"{", [("", "syntax")]),
        (b"{} {}", [("", "syntax")]),
        (b"{'a': 1}", [("", "syntax")]),
        (b'{"a": 1,}', [("", "syntax")]),
        (b'"tab\there"', [("", "syntax")]),
        (b'"\\', [("", "syntax")]),
        (b"01", [("", "syntax")]),
        (b"\xef\xbb\xbf{}", [("", "byte_order_mark")]),
        (b'"\xff"', [("", "not_utf8")]),
        (b'"\xed\xa0\x80"', [("", "not_utf8")]),
        ('{"a": 1}'.encode("utf-16"), [("", "not_utf8")]),
        ('{"a": 1}'.encode("utf-16-le"), [("", "syntax")]),
        (b'{"title": "a\\u0000b"}', [("title", UNSTORABLE)]),
        (b'{"identity": {"subject": "\\ud800"}}', [("identity.subject", UNSTORABLE)]),
        (b'[{}, {"claims": ["ok", "\\udfff"]}]', [("[1].claims[1]", UNSTORABLE)]),
        (b'{"a\\u0000": 1}', [('["a\\u0000"]', UNSTORABLE)]),
        (b'{"context": {"\\ud800": 1}}', [('context["\\ud800"]', UNSTORABLE)]),
        (b'{"a": 1, "a": 1}', [("a", TWICE)]),
        (b'{"a": 1, "\\u0061": 2, "a": 3}', [("a", TWICE)]),
        (b'{"identity": {"kind": 1, "kind": 2}, "identity": 3}', [("identity", TWICE)]),
        (b'{"confidence": NaN}', [("confidence", "not_a_number")]),
        (b"[Infinity, -Infinity]", [("[0]", "not_a_number"), ("[1]", "not_a_number")]),
        (b'{"confidence": 1e400}', [("confidence", RANGE)]),
        (b'{"action": {"count": 9007199254740993}}', [("action.count", RANGE)]),
        (b"-9007199254740992", [("", RANGE)]),
        (b"9" * 5000, [("", RANGE)]),
        (b"[" * 33 + b"]" * 33, [("", "too_deep")]),
        (b"[" * 100_000, [("", "too_deep")]),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, [("", "too_deep")]),
        (b'{"a": NaN, "b": {"c": 1, "c": 2}, "d": "\\u0000"}', [("a", "not_a_number"), ("b.c", TWICE), ("d", UNSTORABLE)]),
    ],
)
def test_everything_else_is_refused_with_every_path(body, faults):
    assert refused(body) == faults


def test_a_thousand_faults_are_not_all_listed():
    assert len(refused(b"[" + b",".join([b"NaN"] * 1000) + b"]")) == gate.MOST_FAULTS


def test_a_body_of_very_many_values_is_too_large():
    with pytest.raises(gate.TooLarge):
        gate.parse(b"[" + b",".join([b"[]"] * gate.MOST_VALUES) + b"]")


def test_a_path_stays_printable_and_short():
    path = gate.path_to("context", "\x1b[31m\u202e" + "x" * 500)
    assert path.isascii()
    assert path.isprintable()
    assert len(path) < 100


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body):
    with_every_refusal_printable(body)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=4),
    max_leaves=20,
)


@given(ANYTHING, st.booleans())
def test_any_value_however_odd_its_texts_is_read_or_refused(value, escaped):
    with_every_refusal_printable(json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))


@given(st.text(alphabet='{}[]",:\\u0d8e-1 na', max_size=60))
def test_any_soup_of_brackets_is_read_or_refused(text):
    with_every_refusal_printable(text.encode())


def with_every_refusal_printable(body: bytes) -> None:
    try:
        value = gate.parse(body)
    except BadInput as refusal:
        said = "".join(fault.path + fault.detail for fault in refusal.faults)
    else:
        said = ""
        assert gate.parse(json.dumps(value, ensure_ascii=False, allow_nan=False).encode()) == value
    assert said.isascii()


@pytest.mark.parametrize(
    "header",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; profile=x; charset=utf8",
    ],
)
def test_utf8_json_is_taken_however_it_is_written(header):
    assert gate.check_type(header, gate.JSON) == gate.JSON


@pytest.mark.parametrize(
    "header",
    [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
        "application/jsonx",
        "application/json; charset=bogus",
        "application/json; charset=utf-7",
        "application/json; charset=utf-16",
        "application/json; charset=latin1",
        "application/json; charset=",
        "application/json; charset*=utf-8''utf-8",
        "application/json; charset*0=ut; charset*1=f-8",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; CHARSET = utf-7",
        "application/json; charset=\u0661",
        gate.NDJSON,
    ],
)
def test_other_types_and_charsets_are_refused(header):
    with pytest.raises(gate.Unsupported) as refusal:
        gate.check_type(header, gate.JSON)
    assert refusal.value.sentence.isascii()


class Endless:
    """A body without an end, which counts what was taken from it."""

    taken = 0

    def read(self, size: int) -> bytes:
        self.taken += size
        return b" " * size


def test_a_body_that_says_it_is_too_long_is_refused_unread():
    endless = Endless()
    with pytest.raises(gate.TooLarge):
        gate.read_body(endless, {"CONTENT_LENGTH": str(gate.MIB + 1)}, gate.MIB)
    assert endless.taken == 0


@pytest.mark.parametrize("said", ["", "5", "-1", "many", "\u0661", None])
def test_a_body_that_lies_about_its_length_is_cut_at_the_limit(said):
    endless = Endless()
    with pytest.raises(gate.TooLarge):
        gate.read_body(endless, {"CONTENT_LENGTH": said}, gate.MIB)
    assert endless.taken <= gate.MIB + 128 * gate.KIB


def test_a_body_of_exactly_the_limit_is_taken():
    assert len(gate.read_body(io.BytesIO(b"x" * gate.MIB), {}, gate.MIB)) == gate.MIB


def batch(rf, body: bytes, content_type: str) -> list[gate.Item]:
    return gate.read_batch(rf.post("/", body, content_type=content_type))


def test_a_line_that_is_wrong_does_not_spoil_the_others(rf):
    items = batch(rf, b'{"a": 1}\r\n\n{"b": \n{"c": "\\u0000"}\n{"d": 4}', gate.NDJSON)
    assert [item.value for item in items] == [{"a": 1}, None, None, {"d": 4}]
    assert [[(fault.path, fault.code) for fault in item.faults] for item in items] == [
        [],
        [("[1]", "syntax")],
        [("[2].c", UNSTORABLE)],
        [],
    ]


def test_a_list_is_a_batch_and_a_broken_one_is_refused_whole(rf):
    assert [item.value for item in batch(rf, b'[{"a": 1}, 2]', gate.JSON)] == [{"a": 1}, 2]
    with pytest.raises(gate.Malformed):
        batch(rf, b'[{"a": NaN}, {}]', gate.JSON)


@pytest.mark.parametrize(("body", "kind"), [(b"{}", gate.JSON), (b"[]", gate.JSON), (b"\n\n", gate.NDJSON)])
def test_a_batch_of_nothing_is_refused(rf, body, kind):
    with pytest.raises(BadInput) as refusal:
        batch(rf, body, kind)
    assert refusal.value.kind == "invalid"


@pytest.mark.parametrize(("body", "kind"), [(b"[" + b"{}," * 1000 + b"{}]", gate.JSON), (b"{}\n" * 1001, gate.NDJSON)])
def test_a_batch_of_more_than_a_thousand_is_too_large(rf, body, kind):
    with pytest.raises(gate.TooLarge):
        batch(rf, body, kind)


def through_the_limit(headers: list[tuple[bytes, bytes]], chunks: int) -> tuple[list[int], int]:
    """The statuses sent, and how many bytes the application got to see."""
    sent: list[int] = []
    seen = 0
    left = chunks

    async def application(scope, receive, send):
        nonlocal seen
        while (message := await receive())["type"] == "http.request":
            seen += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"x" * gate.MIB, "more_body": left > 0}

    async def send(message):
        if message["type"] == "http.response.start":
            sent.append(message["status"])

    async_to_sync(gate.FrontDoor(application))({"type": "http", "headers": headers}, receive, send)
    return sent, seen


@pytest.mark.parametrize(
    ("headers", "chunks", "statuses", "most"),
    [
        ([], 8, [200], 8 * gate.MIB),
        ([(b"content-length", b"5")], 100, [413], 8 * gate.MIB),
        ([(b"Content-Length", b"104857600")], 100, [413], 0),
        ([(b"content-length", b"9" * 5000)], 100, [413], 0),
        ([(b"content-length", b"x")], 1, [200], gate.MIB),
    ],
)
def test_the_server_takes_no_body_that_no_route_takes(headers, chunks, statuses, most):
    sent, seen = through_the_limit(headers, chunks)
    assert sent == statuses
    assert seen <= most
