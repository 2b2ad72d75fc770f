"""The fault matrix: what can go wrong, what is right then, and which tests show it.

A test says which row it shows with `@pytest.mark.fault("A6")`, on itself or on its whole module. Nothing is imported to find that out: the
test files are read as text. `python -m tests.faults` lists the rows that nobody shows, `--write` renews docs/reference/faults.md.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reference" / "faults.md"
MUST_BE_SHOWN = ("A", "B", "C", "D", "F", "G")  # each row of these has a test, or a reason why it has none


@dataclass(frozen=True, slots=True)
class Fault:
    id: str
    what: str
    right: str


SECTIONS: Mapping[str, str] = {
    "A": "Processes die",
    "B": "The broker",
    "C": "The database",
    "D": "Time",
    "E": "Holds, answers, exceptions",
    "F": "Targets and their connectors",
    "G": "Runs, undo, playbooks",
    "H": "Hostile input",
    "I": "Storms and how far they reach",
    "J": "Pages, sessions, access",
    "K": "The trail, evidence, backups, upgrades",
    "L": "Agents that ask first",
}

ROWS = """
A1 | the web process dies before a detection is committed | the sender hears nothing good, and sends it again
A2 | it dies after the commit, before the answer | the same message again gets the first answer
A3 | a worker dies while it decides | it is decided again, once
A4 | a worker dies between decision and run | cannot be: they are one transaction
A5 | a worker dies before its intent is committed | nothing went out; the next one begins the step
A6 | it dies after the intent, before the call | the next one looks, finds nothing, and acts once
A7 | it dies during the call | looked at first; what cannot be looked at is a person's
A8 | it dies after the answer, before the outcome | found done, and not done twice
A9 | it dies between an outcome and the next intent | no step is left out
A10 | a worker freezes past its lease and wakes up | each of its writes is refused
A11 | what kills every worker that touches it | set aside for a person after the third
A12 | a worker is told to stop while it commits | what is in the rows is what happened
A13 | a sweeper dies | another one does what is due
A14 | everything dies at once | everything due goes on, and not all in one moment
A15 | the host loses power | nothing that was acknowledged is lost
B1 | the broker is away | everything works, a little later
B2 | the broker forgets its queue | sweepers find what is due
B3 | a message is delivered many times | the first one claims, the others find nothing
B4 | messages come late, in another order, or from another release | a row that moved on ignores them
B5 | the broker takes connections and never answers | nobody who decides waits for it
B6 | the broker is full | the row is due all the same
B7 | somebody forges messages | a message carries an id; what is not due does not move
B8 | the broker is replaced by another kind | a setting, and nothing is lost
B9 | a worker is connected and deaf | what is overdue is done by a sweeper
B10 | a message is delivered again while the first one is at work | the lease is held
C1 | the database crashes again and again | reconnect, claim again; nothing lost or doubled
C2 | the connection breaks at the commit | read again before anything is tried again
C3 | a deadlock, or a serialization failure | the whole story is told again; locks have one order
C4 | the disk is full | nothing is acknowledged that was not kept
C5 | the database moves to a synchronous replica | reconnect, nothing lost
C6 | it moves to a replica that lacks the last commits | nothing goes out before somebody looked
C7 | a replica lags | nothing decides on a replica
C8 | somebody keeps a lock for long | bounded waiting, then tried again
C9 | connections run out, or share a pooler | nothing lives in a database session
C10 | hot rows bloat | narrow rows, short stories
C11 | numbers run out | wide identifiers everywhere
C12 | the clock of the database jumps | see D2
D1 | the clock of a worker or web host is wrong | only the database's clock decides
D2 | the clock of the database jumps | a deadline found late contains nobody; set back, what waits goes with it
D3 | a sweeper is dead when a deadline passes | another one finds it
D4 | all sweepers are dead when a deadline passes | no late answer counts; what follows, follows late and says so
D5 | very many deadlines in one second | in batches, and within the budget
D6 | two sweepers find the same deadline | one ending
D7 | times without a zone, leap seconds | refused where they come in
D8 | a report from the future, or from long ago | kept as claimed, never believed for order or windows
E1 | two answers in the same instant | one ending
E2 | yes and no in the same instant | the first counts, the other hears who and when
E3 | an answer meets the deadline | the clock is read under the lock; the deadline itself is too late
E4 | the same answer twice | the first one again
E5 | a scanner opens every link of a mail | reading decides nothing
E6 | somebody answers for themselves | refused by the rule and by the database
E7 | nobody knows who answers | no word counts without a person
E8 | who answered loses the right before it is carried out | counted anew
E9 | the plan changes after it was read | asked again
E10 | an answer is played again elsewhere | it names one hold and one plan
E11 | a robot answers | only people answer
E12 | an exception is granted after the cut | it spares what comes next
E13 | an exception ends meanwhile | what it had spared is judged again
E14 | an exception that covers everything | bounded in scope, time and budget
E15 | nobody answers | what follows was shown from the first second
E16 | so many questions that nobody reads them | grouped
F1 | it was done, and the answer got lost | looked at, not repeated
F2 | an error, before or after it was done | the same
F3 | the target asks for patience, sensibly or not | between a second and a quarter of an hour
F4 | our own access is refused | said once, no storm
F5 | an answer that nobody can read | contains nobody
F6 | an endless or exploding answer | left after its first kilobytes
F7 | one byte a second | a deadline for the whole call
F8 | certificates that are wrong | refused, and there is no switch for it
F9 | names that lead to forbidden addresses | checked, and the checked address is the one called
F10 | a redirect | not followed
F11 | the target needs a while | verifying, not failed
F12 | what was cut, lives on in open sessions | contained only when none is left
F13 | ending sessions again later | only those from before
F14 | somebody else had contained it already | undo leaves it
F15 | a connector is replaced in the middle of a run | the plan stays; what is gone is a person's
F16 | a connector takes its process with it | see A11
F17 | another account answers | compared, and not touched
G1 | the playbook is changed during a run | a run keeps its version
G2 | a version turns out harmful | its runs stop before their next call
G3 | undo of half a run | backwards, each step with its intent
G4 | somebody changed it after us | compared first; a person sees all three states
G5 | two runs cut the same control | only the last to go gives it back
G6 | undo meets a new containment | one after the other
G7 | a step fails for good | partial, with the list of what is left
G8 | a person turns a run in the middle of a call | the call settles first
G9 | a run that is over is wanted again | a new decision
G10 | somebody lifts a containment outside | found, said, never applied again by itself
G11 | a release goes on differently with old runs | recorded journals give the same next step
G12 | a dry run does something | it has no credential that could
G13 | text of a report becomes part of a command | no templates: literals and field references
H1 | a message is played again | the first answer, for ever
H2 | an old signature under a new id | refused
H3 | a forged, cut or borrowed signature | refused, in constant time
H4 | a malformed signature header | refused as bad input
H5 | a very large body | refused before it is read
H6 | brackets within brackets | refused before parsing
H7 | characters that no text column takes | refused with their path
H8 | the same key twice | refused
H9 | numbers that readers understand differently | refused
H10 | other charsets and types | refused
H11 | names that look like others | compared by id, shown with marks
H12 | markup in any text | shown as text
H13 | attributes that htmx would obey | shown as text
H14 | formulas and control characters in exports | quoted
H15 | filters that reach into the query | named filters only
H16 | patterns that never end | bounded time
H17 | evidence that is a web page | handed out as a file, never shown
H18 | headers that lie about the sender | only a configured number of hops counts
I1 | a storm of reports, most of them the same | each stored once, the guard unharmed
I2 | a storm about one name | one run
I3 | thousands of decisions to contain at once | never one more than the budget
I4 | no budget | none is allowed
I5 | a few every minute, for days | a budget for the day as well
I6 | one stolen token reports everybody | its own rate and budget
I7 | it would cut us, or the last administrator | protected, under every name
I8 | it would cut a group with protected members | expanded first
I9 | reports about our own doing | linked, never a cause
I10 | a storm of undos | by two people, previewed
I11 | a storm of questions to the guard | a declared answer, never a hang
I12 | everything has to stop | two seconds, both ways
J1 | a socket without a valid session | refused, and closed when it ends
J2 | a socket from another site | refused
J3 | a flood of sockets or frames | bounded
J4 | somebody else's things by their id | refused
J5 | fields that nobody may set | refused by name
J6 | more rights than one has | given by another person only
J7 | a request from another site | refused
J8 | a session that was fixed before | renewed at sign-in
J9 | a stolen session | short, listed, ended at once
J10 | guessing passwords | slowed down, without locking people out
J11 | a leaked token | scoped, ending, revoked within seconds
J12 | a guard client that was taken over | may ask, and decide nothing
J13 | framing, and pages in a cache | refused, not kept
J14 | addresses that make us call inside | see F9
J15 | secrets in any output | masked where they come in
J16 | an admin site | there is none in production
J17 | errors that tell too much | an id, nothing else
J18 | an insider reads evidence | every look is on its list
K1 | an entry is changed, removed or put in | the first bad one is named
K2 | the end is cut off, or all of it computed again | caught by what left the house
K3 | the signing key is stolen | it does not lie with the application
K4 | the entry cannot be written | then the change did not happen
K5 | evidence is changed where it lies | found at every look
K6 | evidence is taken twice, or half | sealed once, or not at all
K7 | evidence is due to go, and wanted | kept
K8 | somebody has to be forgotten | bodies go, the chain holds
K9 | a backup is played back | nothing goes out before somebody looked
K10 | a backup is no good | tried regularly
K11 | a migration under load | old and new both work
K12 | two releases side by side | a worker takes what it knows
K13 | keys change during runs | old ones still open
K14 | a tenant goes during runs | nothing is orphaned
K15 | logs and metrics are away | nothing waits for them
L1 | the guard cannot be reached | the declared mode, never open by accident
L2 | a containment meets questions in flight | who asks after it, hears of it
L3 | a verdict is used again, or for something else | bound to its question
L4 | an agent says it is another one | its token says who it is
L5 | a dangerous act in a hundred harmless parts | budgets over time
L6 | a paused agent goes on elsewhere | everything it asks is refused
"""

LEFT_OUT: Mapping[str, str] = {
    "A15": "an immediate stop of the database and of every process is; a host that loses its write cache is not",
    "C5": "no replica runs in the tests",
    "C6": "no replica runs in the tests; restoring is K9",
    "C7": "there is one database alias; nothing reads a replica",
    "C10": "no measurement over days",
    "C11": "every key is a UUID or a 64-bit number; there is nothing to run",
    "C12": "see D2",
    "F13": "a connector that ends sessions names the ones it saw; there is no target with issue times yet",
    "F15": "a connector that is gone is a person's business (tests/engine); replacing one is a restart",
    "F16": "connectors run in the worker's process; a process that dies is A11",
    "G9": "there is no way to run a finished run again, only a new decision",
}

FAULTS: Mapping[str, Fault] = {
    fault.id: fault for fault in (Fault(*(part.strip() for part in line.split(" | "))) for line in ROWS.strip().splitlines())
}


def shown() -> dict[str, list[str]]:
    """Row -> the tests that show it, as path::name; of a whole module its path."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        where = path.relative_to(TESTS.parent).as_posix()
        for fault, name in _marks(ast.parse(path.read_text())):
            found[fault].append(f"{where}::{name}" if name else where)
    return {fault: sorted(set(tests)) for fault, tests in found.items()}


def missing() -> list[str]:
    """Rows that must be shown, and are neither shown nor left out with a reason."""
    tests = shown()
    return [key for key in FAULTS if key.startswith(MUST_BE_SHOWN) and key not in tests and key not in LEFT_OUT]


def page() -> str:
    tests = shown()
    carried = sum(key in tests for key in FAULTS)
    lines = [
        "# Faults, and what is right then",
        "",
        "<!-- Written by `python -m tests.faults --write`. -->",
        "",
        "What can go wrong with a program that cuts off others, what it does then, and the tests that show it. A row without a test says",
        f"why, or is not covered yet. {carried} of {len(FAULTS)} rows have tests.",
    ]
    for section, title in SECTIONS.items():
        lines += ["", f"## {section}. {title}", "", "| | what happens | what is right | shown by |", "| --- | --- | --- | --- |"]
        lines += [_line(fault, tests) for key, fault in FAULTS.items() if key.rstrip("0123456789") == section]
    return "\n".join(lines) + "\n"


def _line(fault: Fault, tests: Mapping[str, list[str]]) -> str:
    by = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in tests.get(fault.id, []))
    why = LEFT_OUT.get(fault.id, "")
    return f"| {fault.id} | {fault.what} | {fault.right} | {by or (f'left out: {why}' if why else 'not yet')} |"


def _marks(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for fault in _ids(node.decorator_list):
                yield fault, node.name
        elif isinstance(node, ast.Assign):  # pytestmark, or cases that a table of the module marks one by one
            for fault in _ids([node.value]):
                yield fault, ""


def _ids(nodes: list[ast.expr]) -> Iterator[str]:
    for root in nodes:
        for node in ast.walk(root):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fault":
                yield from (one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--write", action="store_true", help="renew docs/reference/faults.md")
    if words.parse_args().write:
        PAGE.write_text(page())
    for key in missing():
        print(f"{key}: {FAULTS[key].what}: nobody shows it, and nothing says why")  # noqa: T201 - a command
    sys.exit(1 if missing() else 0)


if __name__ == "__main__":
    main()
