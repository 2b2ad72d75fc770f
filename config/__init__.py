"""How one installation is set up: settings from the environment, the two server entrances, the queues."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
