"""A held call through the client and the product's own server: people are asked once, and exactly that call passes."""

from __future__ import annotations

import pytest
from holdfast_guard import Guard, Held, Task

from tests import make
from tests.access import door
from tests.access.test_requests import ASKED_ABOUT, said
from tests.client.web import web

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]

MAIL = {"to": "cfo@example.com"}


def test_people_are_asked_once_and_exactly_that_call_passes():
    make.house()
    door.under(ASKED_ABOUT)
    with web() as server, Guard(server.url, door.token(), subject="invoice-agent", budget_s=30) as guard:

        def call(**more):
            with guard.call("send_mail", MAIL, writes=True, **more) as made:
                return made.verdict

        with pytest.raises(Held) as held:
            call()
        assert held.value.task is not None
        assert held.value.task.status == "pending"
        assert guard.submit(held.value).id == held.value.task.id
        kept = held.value.task.to_json()

        server.kill()
        server.start()
        assert said("ines", kept).status_code == 200
        task = guard.wait(Task.from_json(kept), deadline_s=60)
        assert task.approved
        assert call(approval=task.approval).reason == "approved"
        with pytest.raises(Held):
            call()
        with pytest.raises(Held), guard.call("send_mail", {"to": "mallory@example.com"}, writes=True, approval=task.approval):
            pytest.fail("an approval of another call was enough")
