"""Tells somebody else's system by a signed message, and may carry out measures through it."""

from connectors.webhook.connector import WebhookConnector

__all__ = ["WebhookConnector"]
