"""A server that does what no server should, line by line. Its tools are named for what they do; it answers all else with what it got."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

TOOLS = (
    "echo",
    "garbage",
    "half",
    "wrong_id",
    "twice",
    "big",
    "die",
    "environment",
    "ask_client",
    "cancel_me",
    "grandchild",
    "escape",
    "deaf",
    "loud",
)


def say(message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def raw(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}], "isError": False}


def do(ident: Any, tool: str, arguments: dict[str, Any]) -> None:
    answer = {"jsonrpc": "2.0", "id": ident, "result": text(json.dumps(arguments))}
    match tool:
        case "garbage":
            raw('no json at all\n\n[]\n{"jsonrpc":"2.0"}\n7\n{"jsonrpc":"2.0","id":{},"result":{}}\n')
        case "half":
            raw(json.dumps(answer)[:20])
            time.sleep(0.2)
            raw(json.dumps(answer)[20:] + "\n")
            return
        case "wrong_id":
            say({"jsonrpc": "2.0", "id": 4711, "result": text("an answer that nobody asked for")})
        case "twice":
            say(answer)
        case "big":
            answer["result"] = text("x" * int(arguments["bytes"]))
        case "die":
            os._exit(3)
        case "environment":
            answer["result"] = text(json.dumps(sorted(os.environ)))
        case "ask_client":
            say({"jsonrpc": "2.0", "id": "server-1", "method": "sampling/createMessage", "params": {"messages": []}})
            while True:
                said = json.loads(sys.stdin.readline())
                if said.get("id") == "server-1":
                    break
            answer["result"] = text(json.dumps(said))
        case "deaf":
            time.sleep(600)
        case "loud":
            for _ in range(5_000):
                sys.stderr.write("x" * 200 + "\n")
            sys.stderr.flush()
        case "cancel_me":
            if arguments:
                say({"jsonrpc": "2.0", "method": "notifications/message", "params": arguments})
            while json.loads(sys.stdin.readline()).get("method") != "notifications/cancelled":
                pass
            answer["result"] = text("an answer that comes too late")
        case "grandchild":
            process = subprocess.Popen(["sleep", "600"])
            answer["result"] = text(str(process.pid))
        case "escape":
            sys.stderr.write("\x1b[2J\x1b]0;owned\x07 a line for whoever reads logs\n")
            sys.stderr.flush()
    say(answer)


def main() -> None:
    for line in sys.stdin:
        said = json.loads(line)
        method, ident, params = said.get("method"), said.get("id"), said.get("params", {})
        if method == "tools/list":
            say({"jsonrpc": "2.0", "id": ident, "result": {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}})
        elif method == "tools/call":
            do(ident, params["name"], params.get("arguments", {}))
        elif ident is not None and method:
            say({"jsonrpc": "2.0", "id": ident, "result": {"got": said}})


if __name__ == "__main__":
    main()
