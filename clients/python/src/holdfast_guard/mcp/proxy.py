"""The proxy on standard input and output: starts the server as a child, relays lines both ways, and ends it whatever happens.

Needs nothing but the standard library and the guard: it works for every revision of the protocol, because it reads no more of a message
than it must.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from holdfast_guard.mcp import messages
from holdfast_guard.mcp.gate import Gate
from holdfast_guard.mcp.lines import lines
from holdfast_guard.mcp.messages import Message
from holdfast_guard.mcp.relay import TELLING_S, Relay

LONGEST_MESSAGE = 32 << 20
LOOK_EVERY_S = 0.5  # while a message cannot be passed on: whether the client is still there
LEAVES_S, ENDS_S = 2.0, 2.0  # how long the server may take to leave by itself, and then to end when told to
LONGEST_LOG_LINE = 4_000
NO_SUCH_COMMAND = 127


class StdioProxy:
    def __init__(self, gate: Gate, command: Sequence[str], *, longest: int = LONGEST_MESSAGE) -> None:
        self.gate, self.command, self.longest = gate, list(command), longest
        self._out: asyncio.StreamWriter | None = None
        self._child: asyncio.subprocess.Process | None = None
        self.relay = Relay(gate, to_client=self._to_client, to_server=self._to_server)

    async def run(self) -> int:
        """Until the client leaves, the server ends, or we are told to. Returns the exit code."""
        try:
            self._child = await start(self.command)
        except OSError as fault:
            self.gate.log(f"{messages.plain(self.command[0])} cannot be started: {fault.strerror}")
            return NO_SUCH_COMMAND
        reader, self._out = await _standard_streams()
        told = _signals()
        jobs = {
            asyncio.create_task(self._from_client(reader), name="client"),
            asyncio.create_task(self._from_server(), name="server"),
            asyncio.create_task(told.wait(), name="told"),
            asyncio.create_task(watch(self.gate, [self.relay]), name="watch"),  # without it nothing would stop what is under way
        }
        beside = asyncio.create_task(self._from_stderr())
        done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        return await self._leave({job.get_name() for job in done}, {*jobs, beside}, told.number)

    async def _leave(self, why: set[str], jobs: set[asyncio.Task[object]], number: int) -> int:
        if "client" in why:
            await self.relay.client_left()
        else:
            await self.relay.server_left("The server ended before it answered." if "server" in why else "The proxy is being stopped.")
            await self._flush()
        self.gate.left()
        code = await self._end_child()
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if "server" in why:
            self.gate.log(f"the server ended with {code}")
            return code if code > 0 else 1
        return 128 + number if number else 0

    # Both ways

    async def _from_client(self, reader: asyncio.StreamReader) -> None:
        """Until its end; or until the client has left, where somebody who does not read keeps us from coming to that end."""
        async for line in lines(reader, longest=self.longest):
            if line is not None and not line.strip():
                continue
            said = asyncio.create_task(self._client_said(line))
            try:
                while not said.done():
                    await asyncio.wait({said}, timeout=LOOK_EVERY_S)
                    if not said.done() and _hung_up():
                        return
            finally:
                said.cancel()

    async def _client_said(self, line: bytes | None) -> None:
        try:
            if line is None:
                await self._to_client(messages.error(None, messages.INVALID_REQUEST, f"A message is at most {self.longest} bytes long."))
            else:
                await self.relay.client_said(line)
        except Exception as fault:  # one message ends nothing
            self.gate.log(f"a message of the client was not passed on: {type(fault).__name__}: {messages.plain(fault)}")

    async def _from_server(self) -> None:
        async for line in lines(_piped(self._child, "stdout"), longest=self.longest):
            if line is None:
                self.gate.log(f"the server sent a message of more than {self.longest} bytes")
                await self.relay.server_left("The server's answer was too long to pass on.", "answer_too_long")
            elif line.strip():
                try:
                    await self.relay.server_said(line)
                except Exception as fault:  # one message ends nothing
                    self.gate.log(f"a message of the server was not passed on: {type(fault).__name__}: {messages.plain(fault)}")

    async def _from_stderr(self) -> None:
        async for line in lines(_piped(self._child, "stderr"), longest=self.longest):
            if line is not None:
                self.gate.log(f"server: {messages.plain(line.decode('utf-8', 'replace').rstrip(), LONGEST_LOG_LINE)}")

    async def _to_client(self, message: Message | list[Message]) -> None:
        """A client that does not read keeps its server from writing, until it is stopped: then the server has to hear that."""
        if self._out is None or (self.gate.guard.stopped() and self._out.transport.get_write_buffer_size() > self.longest):
            return
        with contextlib.suppress(ConnectionError, RuntimeError):  # who is gone will not read it; reading notices that too
            self._out.write(messages.write(message) + b"\n")
            taken = asyncio.ensure_future(self._out.drain())
            try:
                while not taken.done() and not (self.gate.guard.stopped() and self._out.transport.get_write_buffer_size()):
                    await asyncio.wait({taken}, timeout=LOOK_EVERY_S)
                if taken.done():
                    taken.result()
            finally:
                taken.cancel()

    async def _to_server(self, message: Message | list[Message]) -> None:
        if self._child is not None and self._child.stdin is not None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                self._child.stdin.write(messages.write(message) + b"\n")
                await self._child.stdin.drain()

    async def _flush(self) -> None:
        """What was said last has left us, or the client does not read any more."""
        if self._out is not None:
            with contextlib.suppress(ConnectionError, RuntimeError, asyncio.TimeoutError):
                self._out.close()
                await asyncio.wait_for(self._out.wait_closed(), ENDS_S)

    async def _end_child(self) -> int:
        """As the protocol has it: close its input, wait, tell it to end, then end it, with everything that it started."""
        child = self._child
        if child is None:
            return 0
        if child.stdin is not None:
            child.stdin.close()
        for number, patience in ((None, LEAVES_S), (signal.SIGTERM, ENDS_S), (signal.SIGKILL, ENDS_S)):
            if number is not None:
                _signal_group(child.pid, number)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(child.wait(), patience)
                break
        _signal_group(child.pid, signal.SIGKILL)
        return child.returncode if child.returncode is not None else 1


async def start(command: Sequence[str]) -> asyncio.subprocess.Process:
    """In a process group of its own. What the guard is asked with is not the server's: it gets none of our variables."""
    pipe = asyncio.subprocess.PIPE
    if sys.platform == "linux":
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        command = [sys.executable, "-I", "-S", "-c", _ENDS_WITH_US, str(os.getpid()), os.environ.get("LC_CTYPE", ""), *command]
    return await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment(os.environ), start_new_session=True
    )


# Becomes the server, and before that asks the kernel to kill it when we die in whatever way. In a process of its own, because nothing may
# run between fork and exec in one that has threads. What the interpreter changed for itself is put back.
_ENDS_WITH_US = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
for name in ("SIGPIPE", "SIGXFSZ"):
    signal.signal(getattr(signal, name), signal.SIG_DFL)
os.environ.pop("LC_CTYPE", None)
if sys.argv[2]:
    os.environ["LC_CTYPE"] = sys.argv[2]
try:
    os.execvp(sys.argv[3], sys.argv[3:])
except OSError as fault:
    sys.exit(f"{sys.argv[3]} cannot be started: {fault.strerror}")
"""


async def watch(gate: Gate, relays: Sequence[Relay] | Callable[[], Sequence[Relay]]) -> None:
    """As soon as the guard says that this one is contained or paused, what is under way is stopped; and its end is told, too."""
    stopped = gate.guard.stopped() is not None
    while True:
        await gate.guard.changed()
        stop = gate.guard.stopped()
        if stop is not None:
            await gate.stop_begun(TELLING_S)
        for relay in relays() if callable(relays) else relays:
            if stop is not None:
                await relay.stop(stop, changed=not stopped)
            elif stopped:
                await relay.started()
        stopped = stop is not None


def _hung_up() -> bool:
    """The client closed our input, though there is more in it to be read."""
    try:
        poll = select.poll()
        poll.register(sys.stdin.buffer.fileno(), getattr(select, "POLLRDHUP", 0))
        return bool(poll.poll(0))
    except (OSError, ValueError):  # it is closed
        return True


def _piped(child: asyncio.subprocess.Process | None, name: str) -> asyncio.StreamReader:
    stream: asyncio.StreamReader | None = getattr(child, name)
    if stream is None:
        raise RuntimeError("The server was started without pipes.")
    return stream


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in ours.items() if not name.startswith("HOLDFAST_")}


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class _Told(asyncio.Event):
    number = 0


def _signals() -> _Told:
    told, loop = _Told(), asyncio.get_running_loop()

    def end(number: int) -> None:
        told.number = number
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    return told


async def _standard_streams() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), sys.stdout.buffer)
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)
