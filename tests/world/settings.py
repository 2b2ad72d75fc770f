"""The product's settings with the world as one more provider: DJANGO_SETTINGS_MODULE=tests.world.settings."""

from config import env
from config.settings import *  # noqa: F403 - all of them, unchanged
from config.settings import CONNECTORS
from connectors import registry
from tests.world.connector import WorldConnector

registry.know("world", lambda settings, gate: WorldConnector(**settings))
CONNECTORS["world"] = {"use": "world", "url": env.text("WORLD_URL")}
