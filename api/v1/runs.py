"""Undoing a run: put back what it did, where nobody else has changed it since. Or accepting as it is what did not end whole.

What comes back in levels is steered here, and what ends by itself is prolonged, by people; each names what they saw.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Moment, Strict, Text, Whole, read
from api.lists import found
from api.routes import Endpoint
from api.v1 import shapes
from api.v1.reads import RUNS
from containment import flow
from containment.refusals import NotThePerson
from core.actor import Actor
from playbooks import returning, runs
from playbooks.domain.moves import COMING_BACK


class UndoForm(Strict):
    reason = Text(max_length=2000)


class UndoRun(Endpoint):
    needs = {"POST": "run.undo"}

    @extend_schema(
        request=UndoForm,
        examples=[OpenApiExample("a false alarm", value={"reason": "the job was moved on purpose"}, request_only=True)],
        responses={202: OpenApiResponse(shapes.RunShape, "It is being undone."), 200: OpenApiResponse(shapes.RunShape, "It is undone.")},
        summary="Undo a run",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(UndoForm, self.body(request))
        run = flow.undo_run(key, actor=self.actor(request), reason=said["reason"])
        return Response(shapes.RunShape(found(RUNS, key)).data, status=202 if run.state in COMING_BACK else 200)


class AcceptForm(Strict):
    reason = Text(max_length=2000)


class AcceptRun(Endpoint):
    needs = {"POST": "run.undo"}

    @extend_schema(
        request=AcceptForm,
        examples=[OpenApiExample("the role is gone", value={"reason": "the role was dropped by its owner"}, request_only=True)],
        responses={200: OpenApiResponse(shapes.RunShape, "It stays as it is; nothing more is done.")},
        summary="Accept a run that is partial or needs a person as it is",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(AcceptForm, self.body(request))
        runs.accept(key, actor=self.actor(request), reason=said["reason"])
        return Response(shapes.RunShape(found(RUNS, key)).data)


class NextLevelForm(Strict):
    seen_level = Whole(min_value=0, max_value=1000, help_text="The level that was watched, as `returning.level` says")


class ProlongForm(Strict):
    hours = Whole(min_value=1, max_value=168, help_text="How much longer; at most until seven days from now")
    seen_lasts_until = Moment(help_text="The end that was seen, as `lasts_until` says")
    reason = Text(max_length=2000)


class Steering(Endpoint):
    """What only people do, each with a session of their own."""

    needs = {}

    def by_person(self, request: Request) -> Actor:
        actor = self.actor(request)
        if not actor.is_person:
            raise NotThePerson("What comes back, and when, is steered by people who may undo a run, each with a session of their own.")
        return actor

    def shown(self, key: UUID) -> Response:
        return Response(shapes.RunShape(found(RUNS, key)).data)


class NextLevel(Steering):
    needs = {"POST": "run.undo"}

    @extend_schema(
        request=NextLevelForm,
        responses={200: OpenApiResponse(shapes.RunShape, "What follows is given back now.")},
        summary="Give back the next level of a run now",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(NextLevelForm, self.body(request))
        returning.next_level(key, actor=self.by_person(request), seen_level=said["seen_level"])
        return self.shown(key)


class ContainAgain(Steering):
    needs = {"POST": "run.undo"}

    @extend_schema(
        request=UndoForm,
        responses={200: OpenApiResponse(shapes.RunShape, "What was given back is cut again.")},
        summary="Contain again what comes back in levels",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(UndoForm, self.body(request))
        returning.contain_again(key, actor=self.by_person(request), because=said["reason"])
        return self.shown(key)


class GiveBackRest(Steering):
    needs = {"POST": "run.undo"}

    @extend_schema(
        request=UndoForm,
        responses={200: OpenApiResponse(shapes.RunShape, "Everything comes back now, without a further level.")},
        summary="Give back the rest of a run at once",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(UndoForm, self.body(request))
        returning.give_back_the_rest(key, actor=self.by_person(request), reason=said["reason"])
        return self.shown(key)


class Prolong(Steering):
    needs = {"POST": "run.undo"}

    @extend_schema(
        request=ProlongForm,
        responses={200: OpenApiResponse(shapes.RunShape, "It lasts longer.")},
        summary="Let a containment that ends by itself last longer",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(ProlongForm, self.body(request))
        by, seen = timedelta(hours=said["hours"]), said["seen_lasts_until"]
        returning.prolong(key, by=by, actor=self.by_person(request), reason=said["reason"], seen_until=seen)
        return self.shown(key)
