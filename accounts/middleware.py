"""Gives every request its `actor`, looked up when somebody asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.functional import SimpleLazyObject

from accounts import actors
from core.actor import Actor

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class ActorMiddleware:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        lazy = SimpleLazyObject(lambda: actors.of_request(request))
        cast(actors.ActorRequest, request).actor = cast(Actor, lazy)
        return self.get_response(request)
