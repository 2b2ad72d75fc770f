"""The web server's entrance: HTTP for pages and API, sockets for "look again"."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("HOLDFAST_PROCESS", "web")

import django

django.setup()  # the socket routes need the apps

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

from api.access.door import Door
from api.access.room import Turnstile
from api.access.waits import Waits
from api.gate import FrontDoor
from console.live import Watcher

application = ProtocolTypeRouter(
    {
        "http": FrontDoor(Waits(Turnstile(Door(get_asgi_application())))),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("ws/live/", Watcher.as_asgi())]))),
    },
)

# What is loaded by now stays: the collector need not look at all of it again while a tool call waits.
gc.collect()
gc.freeze()
