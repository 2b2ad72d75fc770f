"""The product's web server, under a clock that may be bent."""

from config.asgi import application
from tests.outages import sleep

__all__ = ["application", "sleep"]
