"""The product's settings with one page more, for measuring beside it: DJANGO_SETTINGS_MODULE=bench.settings."""

from config.settings import *  # noqa: F403 - all of them, unchanged

ROOT_URLCONF = "bench.urls"
