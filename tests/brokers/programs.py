"""A worker process as it runs in service, runs that it carries out on the world, and messages that nobody of ours would send."""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Connection, Producer

from config import celery
from core.ids import uuid7
from embedded.places import ROOT
from embedded.process import signal_group, spawn, tail, wait_until
from tests.world.target import CUT, NATURAL, Fault, World

QUEUE = celery.SETTINGS["task_default_queue"]
AGES = timedelta(minutes=5)
POOL = ("--pool", "prefork", "--concurrency", "1", "--without-gossip", "--without-mingle", "--loglevel", "INFO")


class Worker:
    """With everything below it in a process group of its own."""

    def __init__(self, broker_url: str, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        command = [sys.executable, "-m", "celery", "-A", "config.celery:app", "worker", *POOL]
        self.process = spawn(command, cwd=ROOT, env={**environment, "BROKER_URL": broker_url}, log=log)

    def ready(self) -> Worker:
        assert wait_until(lambda: "ready." in self.said() or not self.lives, seconds=90), self.said()
        assert self.lives, tail(self.log, 30)
        return self

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def freeze(self) -> None:
        signal_group(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        signal_group(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()


class House:
    """Runs on the world. Whoever starts one tells a worker through the broker that `speaks_through` named."""

    def __init__(self, world: World, monkeypatch: Any) -> None:
        self.world, self._patch = world, monkeypatch

    def speaks_through(self, broker_url: str) -> Celery:
        from audit import nudges

        app = Celery("holdfast", set_as_current=False)
        app.conf.update(celery.settings(broker_url))
        self._patch.setattr(nudges, "current_app", app)
        self._patch.setattr(nudges._workers, "_quiet_until", 0.0)
        return app

    def start(self, *, slow: bool = False) -> Any:
        """A run of one measure. `slow`: whoever looks at its target first is kept there."""
        from audit.record import telling
        from core.refs import Ref
        from playbooks import runs
        from playbooks.domain.plan import plan_digest

        target, playbook, plan = self._planned()
        if slow:
            self.world.order(Fault.LAG, target["subject"], call="look", seconds=30)
        with telling():
            return runs.start(
                playbook,
                identity=Ref.to("identity", uuid7()),
                case=Ref.to("case", uuid7()),
                decision=Ref.to("decision", uuid7()),
                target=target,
                plan=plan,
                plan_digest=plan_digest(plan, target),
                stage="soft",
            )

    def _planned(self) -> tuple[dict[str, Any], Any, Any]:
        from audit.record import telling
        from core.actor import SYSTEM
        from playbooks import library
        from playbooks.domain.document import parse
        from playbooks.domain.plan import render

        steps = f"    - {{measure: {NATURAL}}}\n"
        text = (
            f"name: p-{uuid7()}\nkinds: [service_account]\nevidence_waiver: the world keeps its own ledger\n"
            f"stages:\n  soft:\n{steps}  hard:\n{steps}holds:\n  default: {{on_lapse: release}}\n"
        )
        kind = {"provider": "world", "kind": "service_account", "subject": f"subject-{uuid7()}"}
        target = kind | {"identity": str(uuid7()), "facts": {}}
        with telling():
            playbook = library._draft(text, actor=SYSTEM, author_id=None, shipped=True)
        return target, playbook, render(parse(text), target, library.ability_of)

    # -- what became of it

    def contained(self, *runs: Any, seconds: float = 60) -> list[str]:
        """Who carried them out. Each was cut once."""
        from playbooks.models import Run

        found = Run.objects.filter(pk__in=[run.pk for run in runs])
        wait_until(lambda: not found.exclude(state="contained").exists(), seconds=seconds)
        assert [(run.state, run.because) for run in found if run.state != "contained"] == []
        assert [[done.did for done in self.world.done(run.target["subject"])] for run in runs] == [[CUT]] * len(runs)
        return [run.last_executor for run in found.order_by("created_at")]

    def begun(self, run: Any) -> None:
        """A worker has it, and waits for its target."""
        assert wait_until(lambda: bool(self.world.ordered(run.target["subject"])[0][-1]), seconds=60)

    def long_due(self, *runs: Any) -> None:
        """Nobody came for them in time; whoever held them is gone."""
        from django.db.models.functions import Now

        from playbooks.models import Run

        of_those = Run.objects.filter(pk__in=[run.pk for run in runs])
        of_those.filter(lease_until__isnull=False).update(lease_until=Now() - AGES)
        of_those.update(next_at=Now() - AGES)


def forge(broker_url: str, body: Any, *, task: str = "playbooks.drive", **properties: Any) -> None:
    """A message as somebody with the broker's password can put it there."""
    headers = {"task": task, "id": str(uuid.uuid4()), "lang": "py", "root_id": None, "parent_id": None, "group": None, "argsrepr": ""}
    usual: dict[str, Any] = {"content_type": "application/json", "content_encoding": "utf-8"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with Connection(broker_url) as line, line.channel() as channel:
        Producer(channel).publish(content, routing_key=QUEUE, headers=headers, **usual | properties)


def called(*args: Any, **named: Any) -> list[Any]:
    """The body of a message that is in order."""
    return [list(args), named, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


class Explosive:
    """Whoever unpickles it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)
