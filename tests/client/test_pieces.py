"""The pieces of the client that need no service: what was declared, when to ask again, what is contained, what is to be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from holdfast_guard import Declared, JournalInUse, Subject
from holdfast_guard import plain as plainly
from holdfast_guard.address import path_below
from holdfast_guard.breaker import FAILURES, FIRST_S, LONGEST_S, Breaker
from holdfast_guard.journal import Journal
from holdfast_guard.view import View
from holdfast_guard.wire import Got

# -- declared -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "tool", "said", "opens"),
    [
        (Declared(), "files.read", False, False),
        (Declared(reads="open"), "files.read", False, True),
        (Declared(reads="open"), "files.read", None, False),  # unknown: a write
        (Declared(reads="open"), "files.read", True, False),
        (Declared(reads="open", tools={"files.read": "read"}), "files.read", None, True),
        (Declared(reads="open", tools={"files.*": "read"}), "files.read", True, False),  # the call says that it writes
        (Declared(reads="open", tools={"files.*": "read", "files.put": "write"}), "files.put", None, False),
        (Declared(reads="open", tools={"mail.send": "write"}), "mail.send", False, False),  # and here the declaration does
        (Declared(reads="open", never_open=["secrets.*"]), "secrets.read", False, False),
        (Declared(dangerously_open_writes_that_nobody_allowed=True), "mail.send", True, True),
        (Declared(dangerously_open_writes_that_nobody_allowed=True), "files.read", False, False),
    ],
)
def test_what_is_open_was_declared(declared, tool, said, opens):
    assert declared.opens(tool, said) is opens


@pytest.mark.parametrize("wrong", [{"reads": "maybe"}, {"tools": {"a": "both"}}, {"never_open": "secrets.*"}])
def test_a_declaration_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError):
        Declared(**wrong)


# -- the breaker --------------------------------------------------------------------------------------------------------------------------


def test_after_some_failures_it_rests_and_lets_one_at_a_time_try():
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.admits(0.0)
        breaker.failed(0.0)
    assert not breaker.admits(FIRST_S / 2)
    assert breaker.admits(FIRST_S)
    assert not breaker.admits(FIRST_S)
    breaker.failed(FIRST_S)
    assert not breaker.admits(2 * FIRST_S)
    assert breaker.admits(3 * FIRST_S)
    breaker.answered()
    assert breaker.admits(3 * FIRST_S)
    assert breaker.admits(3 * FIRST_S)


def test_its_rests_have_an_end():
    breaker, now = Breaker(), 0.0
    for _ in range(50):
        breaker.failed(now)
        now += LONGEST_S
        assert breaker.admits(now)


def test_a_try_that_was_given_up_keeps_nobody_out():
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(0.0)
    assert breaker.admits(FIRST_S)
    breaker.gave_up()
    assert breaker.admits(FIRST_S)


# -- the view -----------------------------------------------------------------------------------------------------------------------------


def view(contained: Any = (), sessions: Any = (), provider: str = "holdfast") -> View:
    made = View()
    said = {"view": "v", "contained": list(contained), "sessions": list(sessions), "provider": provider}
    assert made.take(Got(200, json.dumps(said).encode()))
    return made


SESSION = {"id": "0193", "name": "inv-1", "provider": "holdfast", "subject": "agent", "state": "paused", "because": ""}


@pytest.mark.parametrize(
    ("subject", "session", "refused"),
    [
        (Subject("agent"), "", "contained"),
        (Subject("agent", provider="holdfast"), "", "contained"),
        (Subject("agent", provider="okta"), "", ""),
        (Subject("other"), "", ""),
        (Subject("other"), "inv-1", ""),
    ],
)
def test_an_identity_is_known_by_provider_and_subject(subject, session, refused):
    known = view([{"provider": "holdfast", "subject": "agent", "because": "x"}]).refuses(subject, session)
    assert (known.reason if known else "") == refused


@pytest.mark.parametrize(
    ("session", "subject", "state", "refused"),
    [
        ("inv-1", "agent", "paused", "session_paused"),
        ("0193", "agent", "paused", "session_paused"),
        ("inv-1", "other", "paused", ""),
        ("inv-2", "agent", "paused", ""),
        ("", "agent", "paused", ""),
        ("inv-1", "agent", "ended", "session_ended"),
        ("inv-1", "agent", "restricted", ""),
    ],
)
def test_a_session_is_known_by_its_id_or_by_its_name_and_subject(session, subject, state, refused):
    seen = view(sessions=[SESSION | {"state": state}])
    known = seen.refuses(Subject(subject), session)
    assert (known.reason if known else "") == refused
    assert seen.restricts(Subject(subject), session) is (state == "restricted")


def test_where_nobody_says_whose_subjects_they_are_any_of_that_name_is_refused():
    assert view([{"provider": "okta", "subject": "agent", "because": ""}], provider="").refuses(Subject("agent"), "")


def told(as_of: str, contained: Any = (), **more: Any) -> Got:
    said = {"view": f"v {as_of}", "as_of": as_of, "contained": list(contained), "sessions": [], "provider": "holdfast"} | more
    return Got(200, json.dumps(said).encode())


@pytest.mark.parametrize(
    ("then", "taken"),
    [
        ("2026-11-23T11:59:59.999Z", False),
        ("2026-11-23T12:00:00.000Z", True),
        ("2026-11-23T12:00:01.000Z", True),
        ("2026-11-23T11:00:00.000Z", True),  # its clock was set back
        ("nonsense", True),
    ],
)
def test_a_snapshot_that_is_older_than_what_is_known_changes_nothing(then, taken):
    known = View()
    assert known.take(told("2026-11-23T12:00:00.000Z", [{"provider": "holdfast", "subject": "agent", "because": ""}]))
    assert known.take(told(then)) is taken
    assert bool(known.refuses(Subject("agent"), "")) is not taken


def test_that_more_is_contained_than_is_told_is_said_once(caplog):
    known = View()
    for second in range(3):
        assert known.take(told(f"2026-11-23T12:00:0{second}.000Z", cut=True))
    assert len(caplog.records) == 1
    assert known.refuses(Subject("agent"), "") is None


@pytest.mark.parametrize(
    "answer", [Got(500, b"{}"), Got(200, b""), Got(200, b'{"view":"w"}'), Got(200, b'{"view":"w","contained":[1],"sessions":[]}'), Got()]
)
def test_what_is_no_snapshot_changes_nothing(answer):
    known = view([{"provider": "holdfast", "subject": "agent", "because": ""}])
    assert not known.take(answer)
    assert known.refuses(Subject("agent"), "")


# -- the journal --------------------------------------------------------------------------------------------------------------------------


def items(journal: Journal) -> list[int]:
    found = journal.batch(1000, 10**9)
    journal.back(found)
    return [entry.item["n"] for entry in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls"


def killed(journal: Journal) -> None:
    """As when its process is gone: nothing is tidied."""
    import os

    assert journal._file is not None
    os.close(journal._file)
    journal._file = None


def test_what_was_kept_is_there_for_the_next_process_in_order(path):
    first = Journal(path)
    for n in range(5):
        assert first.keep({"n": n})
    first.taken(first.batch(2, 10**6))
    killed(first)
    assert items(Journal(path)) == [2, 3, 4]


def test_what_came_of_a_call_is_added_to_it_until_it_is_told(path):
    journal = Journal(path)
    journal.keep({"n": 1}, request="r-1"), journal.keep({"n": 2}, request="r-2")
    assert journal.add("r-1", {"outcome": "done"})
    batch = journal.batch(10, 10**6)
    assert not journal.add("r-2", {"outcome": "done"})  # on its way
    journal.back(batch)
    killed(journal)
    assert [entry.item for entry in Journal(path).batch(10, 10**6)] == [{"n": 1, "outcome": "done"}, {"n": 2}]


@pytest.mark.parametrize("tail", [b'{"n":9,"item":{"n"', b"\x00\xff", b'{"n":9}\n', b"[1]\n", b"nonsense\n"])
def test_a_torn_or_spoiled_line_costs_only_itself(path, tail):
    journal = Journal(path)
    journal.keep({"n": 1})
    killed(journal)
    with path.open("ab") as file:
        file.write(tail)
    again = Journal(path)
    again.keep({"n": 2})
    killed(again)
    assert items(Journal(path)) == [1, 2]


def test_two_processes_do_not_share_a_file(path):
    first = Journal(path)
    with pytest.raises(JournalInUse):
        Journal(path)
    first.close()
    Journal(path).close()


def test_the_file_is_for_its_owner_alone(path):
    Journal(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("half", [0, 10])
def test_an_entry_that_could_not_be_written_leaves_nothing_behind(path, half, monkeypatch):
    """As when the disk is full: at first half of it fits, and then nothing does."""
    import os

    journal, right, tries = Journal(path), os.write, iter([half, 0])
    journal.keep({"n": 1})

    def full(file: int, data: bytes) -> int:
        if not (fits := next(tries)):
            raise OSError(28, "No space left on device")
        return right(file, data[:fits])

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        assert not journal.keep({"n": 2})
    assert journal.keep({"n": 3})
    killed(journal)
    assert items(Journal(path)) == [1, 3]


def test_what_nobody_was_asked_about_outlives_a_power_cut(path, monkeypatch):
    import os

    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    journal = Journal(path)
    journal.keep({"n": 1, "mode": "closed"})
    assert synced == []
    journal.keep({"n": 2, "mode": "open"})
    assert len(synced) == 1


def test_a_child_that_was_forked_holds_no_file_and_tells_nothing_twice(path):
    import os
    import subprocess
    import sys

    program = """
import os, sys, time
from holdfast_guard.journal import Journal
journal = Journal(sys.argv[1])
journal.keep({"n": 1})
if os.fork():
    os._exit(0)
journal.keep({"n": 2})
print(len(journal), flush=True)
sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"1\n"  # the child lives, and has only its own
        parent.wait(60)
        assert items(Journal(path)) == [1]


def test_a_file_that_another_one_took_the_place_of_is_not_written_to(path, monkeypatch):
    import fcntl
    import os

    path.write_bytes(b"")
    right = fcntl.flock
    raced: list[int] = []

    def first_replaced(file: int, how: int) -> None:
        right(file, how)
        if not raced:
            raced.append(1)
            path.with_name("other").write_bytes(b'{"n":1,"item":{"n":1}}\n')
            os.replace(path.with_name("other"), path)

    monkeypatch.setattr(fcntl, "flock", first_replaced)
    journal = Journal(path)
    journal.keep({"n": 2})
    killed(journal)
    assert items(Journal(path)) == [1, 2]


def test_a_full_journal_takes_nothing_and_counts_what_it_lost():
    journal = Journal(most=2)
    assert [journal.keep({"n": n}) for n in range(3)] == [True, True, False]
    assert journal.lost == 1


@pytest.mark.parametrize("left", [0, 3])
def test_a_file_that_grew_long_begins_anew_with_what_is_still_to_be_told(path, left, monkeypatch):
    monkeypatch.setattr("holdfast_guard.journal.BEGIN_ANEW", 1000)
    monkeypatch.setattr("holdfast_guard.journal.BEGIN_ANEW_FULL", 1000)
    journal = Journal(path)
    for n in range(100):
        journal.keep({"n": n})
    journal.taken(journal.batch(100 - left, 10**9))
    assert path.stat().st_size < 200
    journal.keep({"n": 100})
    with pytest.raises(JournalInUse):
        Journal(path)  # the new file is held as the old one was
    killed(journal)
    assert items(Journal(path)) == [*range(100 - left, 101)]


def test_what_is_kept_can_be_sent_whatever_it_was():
    journal = Journal()
    assert journal.keep({"n": "a\ud800", "x": float("nan"), "y": {1, 2}, "z": b"\xff"}, request="r")
    assert journal.add("r", {"outcome": "done\ud800"})
    (entry,) = journal.batch(1, 10**6)
    assert json.loads(entry.data) == entry.item
    assert entry.item["n"] == "a\ufffd"


def test_a_batch_has_an_end_in_bytes_and_holds_at_least_one():
    journal = Journal()
    for n in range(10):
        journal.keep({"n": n, "text": "x" * 1000})
    assert len(journal.batch(100, 3500)) == 3
    assert len(journal.batch(100, 1)) == 1


# -- values -------------------------------------------------------------------------------------------------------------------------------


def test_any_value_becomes_json_that_the_service_takes():
    from api import gate

    deep: Any = "bottom"
    for _ in range(100):
        deep = [deep]
    said = plainly.plain({"a": "x\0y\ud800", "b": 2**70, "c": float("nan"), "d": deep, 1: {2}, "e": b"\xff", "f": Path("/x"), "g": -0.0})
    assert gate.parse(plainly.encoded(said))["b"] == str(2**70)


def nested(levels: int) -> Any:
    made: Any = "bottom"
    for _ in range(levels):
        made = {"a": made}
    return made


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (nested(21), "arguments.a.a"),
        ({"amount": 2**53}, "arguments.amount"),
        ({"amounts": [1, -(2**60)]}, "arguments.amounts[1]"),
        ({"x": float("inf")}, "arguments.x"),
        ({"to": "a\0b"}, "arguments.to"),
        ({"to": "a\ud800"}, "arguments.to"),
        ({"x\0": 1, "x\ufffd": 2}, "key"),
        ({1: "a", "1": "b"}, "more than once"),
    ],
)
def test_what_cannot_be_said_exactly_is_named_with_its_place(arguments, where):
    assert where in plainly.unsayable(arguments)


class Unreadable:
    def __str__(self) -> str:
        raise OSError("gone")


def test_what_does_not_say_what_it_is_cannot_be_said():
    assert plainly.unsayable({"a": Unreadable()})


@pytest.mark.parametrize("arguments", [{}, nested(20), {"a": 2**53 - 1, "b": [None, True, 1.5, "ä\n"], "c": b"\xff", "d": Path("/x")}])
def test_what_can_be_said_is_said_as_it_is(arguments):
    assert plainly.unsayable(arguments) == ""
    assert "…" not in plainly.encoded(plainly.plain(arguments)).decode()


def test_bytes_that_are_no_text_are_said_by_their_digest():
    assert plainly.plain(b"\xff") != plainly.plain(b"\xfe")
    assert plainly.plain(b"text") == "text"


def test_texts_of_a_result_are_few_and_short():
    found = plainly.texts({"a": ["x" * 100_000, True, None, 7], "b": {"c": b"bytes"}, "d": ["y"] * 100})
    assert found[0] == "x" * plainly.LONGEST_TEXT
    assert found[1:3] == ["7", "bytes"]
    assert len(found) == plainly.MOST_TEXTS


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("https://a.example/hf/access/v1/requests/1", "/access/v1/requests/1"),
        ("https://a.example:443/hf/access/v1/requests/1", "/access/v1/requests/1"),
        ("/access/v1/requests/1", "/access/v1/requests/1"),
        ("/hf/access/v1/requests/1", "/access/v1/requests/1"),
        ("http://a.example/hf/x", ""),
        ("https://b.example/hf/x", ""),
        ("//b.example/hf/x", ""),
        ("https://a.example:444/hf/x", ""),
        ("https://a.example/other", ""),
        ("/hf/../x", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_only_addresses_of_the_service_are_asked(endpoint, path):
    assert path_below("https://a.example/hf", endpoint) == path
