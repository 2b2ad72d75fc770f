"""The command `holdfast-guard`: puts the guard before a server that speaks the Model Context Protocol, and shows or accepts its pins."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast_guard.aguard import BUDGET_S, AsyncGuard
from holdfast_guard.declared import CLOSED, OPEN, READ, WRITE, Declared
from holdfast_guard.errors import GuardError
from holdfast_guard.mcp import messages, pins
from holdfast_guard.mcp.gate import Gate, Rules
from holdfast_guard.mcp.guarded import Guarded
from holdfast_guard.mcp.proxy import LONGEST_MESSAGE, StdioProxy
from holdfast_guard.mcp.waiting import Waiting
from holdfast_guard.words import Subject

WRONG_USE = 2


def main(argv: Sequence[str] | None = None) -> int:
    said = list(sys.argv[1:] if argv is None else argv)
    ours, command = (said[: said.index("--")], said[said.index("--") + 1 :]) if "--" in said else (said, [])
    parser = _parser()
    options = parser.parse_args(ours)
    try:
        if options.what == "pins":
            return _pins(options, command)
        if bool(command) == bool(options.url):
            parser.error("Say either -- and the command of the server, or --url and its address.")
        return asyncio.run(_proxy(options, command))
    except (ValueError, GuardError) as fault:
        _log(str(fault))
        return WRONG_USE
    except KeyboardInterrupt:
        return 130
    finally:
        _LINES.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast-guard", description="Ask Holdfast before a tool is used.")
    kinds = parser.add_subparsers(dest="what", required=True, metavar="mcp-proxy | pins")
    _proxy_options(kinds.add_parser("mcp-proxy", help="stand between an MCP client and an MCP server", usage=_USAGE))
    _pin_options(kinds.add_parser("pins", help="what the tools of a server said they were, and what changed"))
    return parser


_USAGE = """holdfast-guard mcp-proxy [options] -- COMMAND [ARGUMENTS]
       holdfast-guard mcp-proxy [options] --url http://upstream/mcp --listen 127.0.0.1:8808

The token is read from HOLDFAST_TOKEN or from the file that HOLDFAST_TOKEN_FILE names. It has no option: others can read a command line."""


def _proxy_options(parser: argparse.ArgumentParser) -> None:
    env = os.environ.get
    who = parser.add_argument_group("who asks")
    who.add_argument("--guard", default=env("HOLDFAST_URL", ""), metavar="URL", help="where Holdfast is (HOLDFAST_URL)")
    who.add_argument("--subject", default=env("HOLDFAST_SUBJECT", ""), metavar="NAME", help="the agent (HOLDFAST_SUBJECT)")
    who.add_argument("--subject-type", default=env("HOLDFAST_SUBJECT_TYPE", "ai_agent"), metavar="KIND")
    who.add_argument("--provider", default=env("HOLDFAST_PROVIDER", ""), metavar="NAME", help="whose agent it is (HOLDFAST_PROVIDER)")
    who.add_argument("--session", default=env("HOLDFAST_SESSION", ""), metavar="NAME", help="a registered session (HOLDFAST_SESSION)")
    who.add_argument("--intent", type=Path, metavar="FILE", help="register the session with this intent (JSON), and end it at the end")
    who.add_argument("--ttl", type=int, default=3600, metavar="SECONDS", help="how long a session that we register may last")
    who.add_argument("--environment", default=env("HOLDFAST_ENVIRONMENT", ""), metavar="NAME")
    who.add_argument("--system", default="", metavar="NAME", help="what this server is called in questions; otherwise the command's name")
    what = parser.add_argument_group("what is asked and shown")
    what.add_argument("--tool", action="append", metavar="PATTERN", help="offer these tools alone; otherwise those of the intent are shown")
    what.add_argument("--reads", action="append", default=[], metavar="PATTERN", help="tools that only read")
    what.add_argument("--writes", action="append", default=[], metavar="PATTERN", help="tools that write, whatever else is said")
    what.add_argument("--allow-method", action="append", default=[], metavar="METHOD", help="let this pass unasked, in either direction")
    what.add_argument("--wait-for-approval", type=float, default=0.0, metavar="SECONDS", help="wait for people inside the call")
    what.add_argument("--deny-as-result", action="store_true", help="say no to a tool call with a result that is an error")
    gone = parser.add_argument_group("when the guard does not answer")
    gone.add_argument("--answer-within", type=float, default=BUDGET_S, metavar="SECONDS", help="how long an answer may take; 1.5 otherwise")
    gone.add_argument("--reads-open", action="store_true", help="reads pass, and are told afterwards; writes never do")
    gone.add_argument("--never-open", action="append", default=[], metavar="PATTERN", help="reads that stay closed all the same")
    gone.add_argument("--journal", type=Path, metavar="FILE", help="keep what is still to be told in this file")
    kept = parser.add_argument_group("where things are")
    kept.add_argument("--pins", type=Path, metavar="FILE", help="what the tools said they were; by the server's command otherwise")
    kept.add_argument("--max-message", type=int, default=LONGEST_MESSAGE, metavar="BYTES")
    http = parser.add_argument_group("over HTTP (needs the extra `mcp`)")
    http.add_argument("--url", default="", help="the server's address")
    http.add_argument("--listen", default="127.0.0.1:8808", metavar="HOST:PORT")
    http.add_argument("--allow-origin", action="append", default=[], metavar="ORIGIN", help="a web page that may come here")
    http.add_argument("--allow-host", action="append", default=[], metavar="HOST", help="as clients may call us; needed beyond 127.0.0.1")
    http.add_argument("--upstream-header", action="append", default=[], metavar="NAME: VALUE", help="sent to the server with every request")


def _pin_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", choices=["list", "show", "accept", "reads", "writes"])
    parser.add_argument("tool", nargs="*", help="accept without a name: all that changed")
    parser.add_argument("--pins", type=Path, metavar="FILE")
    parser.add_argument("--url", default="")


# The proxy


async def _proxy(options: argparse.Namespace, command: list[str]) -> int:
    server = command or [options.url]
    path = options.pins or pins.default_path(server)
    book = pins.Pins(path, server=" ".join(server))
    book.all()  # says now if it cannot be read
    async with _guard(options) as guard:
        guarded = Guarded(guard, system=options.system or (Path(command[0]).name if command else options.url))
        rules = _rules(options)
        async with _session(options, guard):
            gate = Gate(guarded, book, rules, waiting=_waiting(path, guard), log=_log)
            gate.intended = None if rules.tools is not None else await guarded.tools()
            if command:
                return await StdioProxy(gate, command, longest=options.max_message).run()
            from holdfast_guard.mcp.http import Where, serve  # with its extra, which stdio does not need

            where = Where(
                options.url, options.listen, tuple(options.allow_origin), _headers(options), options.max_message, options.allow_host
            )
            return await serve(gate, where)


def _guard(options: argparse.Namespace) -> AsyncGuard:
    missing = [name for name, said in (("--guard", options.guard), ("--subject", options.subject)) if not said]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be said: where Holdfast is, and who the agent is.")
    kinds = {**dict.fromkeys(options.reads, READ), **dict.fromkeys(options.writes, WRITE)}
    return AsyncGuard(
        options.guard,
        _token(),
        subject=Subject(options.subject, options.subject_type, options.provider),
        session=options.session,
        declared=Declared(reads=OPEN if options.reads_open else CLOSED, tools=kinds, never_open=options.never_open),
        context={"environment": options.environment} if options.environment else {},
        budget_s=options.answer_within,
        journal=options.journal,
        asks_people=False,
    )


def _token() -> str:
    if file := os.environ.get("HOLDFAST_TOKEN_FILE"):
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as fault:
            raise ValueError(f"HOLDFAST_TOKEN_FILE cannot be read: {fault.strerror}.") from fault
    if token := os.environ.get("HOLDFAST_TOKEN"):
        return token
    raise ValueError("HOLDFAST_TOKEN or HOLDFAST_TOKEN_FILE must hold a token that may ask the guard.")


@contextlib.asynccontextmanager
async def _session(options: argparse.Namespace, guard: AsyncGuard) -> Any:
    """With an intent the session is ours: it begins and ends with the proxy."""
    if options.intent is None:
        yield
        return
    if not options.session:
        raise ValueError("--intent needs --session: a name for the session that begins with it.")
    try:
        intent = json.loads(options.intent.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ValueError(f"{options.intent} cannot be read as JSON.") from fault
    await guard.register(options.session, intent=intent, ttl_seconds=options.ttl)
    try:
        yield
    finally:
        with contextlib.suppress(GuardError):
            await guard.end_session()


def _rules(options: argparse.Namespace) -> Rules:
    return Rules(
        tools=tuple(options.tool) if options.tool is not None else None,
        allowed=frozenset(options.allow_method),
        reads=tuple(options.reads),
        writes=tuple(options.writes),
        wait_s=max(0.0, options.wait_for_approval),
        as_result=options.deny_as_result,
    )


def _waiting(path: Path, guard: AsyncGuard) -> Waiting:
    """Beside the pins, one file for each subject and session: what people allowed one, nobody else can use."""
    return Waiting(path.with_name(f"{path.stem}.{pins.short(guard.url, *guard.subject.to_json().values(), guard.session)}.waiting"))


def _headers(options: argparse.Namespace) -> dict[str, str]:
    said = [line.partition(":") for line in options.upstream_header]
    if any(not name.strip() or not colon for name, colon, _ in said):
        raise ValueError("--upstream-header is a name, a colon and a value.")
    return {name.strip(): value.strip() for name, _, value in said}


# The pins


def _pins(options: argparse.Namespace, command: list[str]) -> int:
    server = command or ([options.url] if options.url else [])
    if not server and not options.pins:
        raise ValueError("Say which server: --pins FILE, --url URL, or -- and its command.")
    book = pins.Pins(options.pins or pins.default_path(server))
    match options.do:
        case "list":
            for name, pin in sorted(book.all().items()):
                _print(f"{'CHANGED' if 'changed' in pin else 'pinned ':7}  {_writes(pin):7}  {messages.plain(name)}  {pin['digest'][:19]}")
        case "show":
            for name, pin in sorted(book.all().items()):
                if name in options.tool or not options.tool:
                    _show(name, pin)
        case "accept":
            for name in book.accept(*options.tool):
                _print(f"accepted {messages.plain(name)}")
        case word:
            unknown = [name for name in options.tool if not book.say(name, writes=word == "writes")]
            if unknown:
                raise ValueError(f"not pinned: {', '.join(map(messages.plain, unknown))}")
    return 0


def _show(name: str, pin: Any) -> None:
    _print(messages.plain(name))
    _print(f"  was  {messages.plain(pin.get('says') or pin['digest'], pins.LONGEST_KEPT)}")
    if changed := pin.get("changed"):
        _print(f"  now  {messages.plain(changed.get('says') or changed['digest'], pins.LONGEST_KEPT)}")


def _writes(pin: Any) -> str:
    return {True: "writes", False: "reads"}.get(pin.get("writes"), "unsaid")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


class _Lines:
    """Written from a thread of its own: whoever does not read our log keeps nothing waiting. What it does not take in time is dropped."""

    MOST, LAST_S = 1_000, 1.0

    def __init__(self) -> None:
        self._waiting: queue.Queue[str] = queue.Queue(self.MOST)
        self._thread: threading.Thread | None = None

    def put(self, line: str) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, daemon=True, name="holdfast-guard log")
            self._thread.start()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(line)

    def flush(self) -> None:
        ends = time.monotonic() + self.LAST_S
        while self._waiting.unfinished_tasks and time.monotonic() < ends:
            time.sleep(0.01)

    def _write(self) -> None:
        while True:
            rest = f"holdfast-guard: {self._waiting.get()}\n".encode("utf-8", "backslashreplace")
            with contextlib.suppress(OSError):
                while rest:
                    rest = rest[os.write(2, rest) :]  # past the buffers of sys, whose lock the end of the process would wait for
            self._waiting.task_done()


_LINES = _Lines()


def _log(line: str) -> None:
    """To the client's own log: standard output belongs to the protocol."""
    _LINES.put(line)
