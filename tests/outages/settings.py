"""The product's settings beside the world, with the same patience in a shorter form: DJANGO_SETTINGS_MODULE=tests.outages.settings."""

from config import patience
from config.settings import DATABASES
from tests.world.settings import *  # noqa: F403 - all of them

patience.CONNECTION_S, patience.CHECK_S, patience.STATEMENT_S, patience.AGAIN_S = 3.0, 1.0, 4.0, 1.0
DATABASES["default"]["OPTIONS"]["connect_timeout"] = "2"
if pool := DATABASES["default"]["OPTIONS"].get("pool"):
    pool |= {"timeout": patience.CONNECTION_S, "reconnect_timeout": patience.AGAIN_S}
