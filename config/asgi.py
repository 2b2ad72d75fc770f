"""The web server's entrance: HTTP for pages and API, sockets for "look again"."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("HOLDFAST_PROCESS", "web")

from django.core.asgi import get_asgi_application

_http = get_asgi_application()  # loads the apps, which the socket routes need

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from console.live import Watcher

application = ProtocolTypeRouter(
    {
        "http": _http,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("ws/live/", Watcher.as_asgi())]))),
    },
)
