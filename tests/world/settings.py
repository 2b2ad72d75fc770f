"""The product's settings with the world as one more provider: DJANGO_SETTINGS_MODULE=tests.world.settings."""

from config import env
from config.settings import *  # noqa: F403 - all of them, unchanged
from config.settings import CONNECTORS, DATABASES
from connectors import registry
from tests.world.connector import WorldConnector

registry.know("world", lambda settings, gate: WorldConnector(**settings))
CONNECTORS["world"] = {"use": "world", "url": env.text("WORLD_URL")}
if env.text("WORLD_FROZEN_MS", ""):  # how long a frozen process may hold a lock; a quarter of a minute in service
    DATABASES["default"]["OPTIONS"]["options"] += f" -c idle_in_transaction_session_timeout={env.number('WORLD_FROZEN_MS', 15000)}"
