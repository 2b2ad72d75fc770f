"""The connector to copy, and the target that tests misbehave with: a real database with a ledger of its own."""

from connectors.sandbox.connector import SandboxConnector
from connectors.sandbox.target import Mood, SandboxTarget

__all__ = ["Mood", "SandboxConnector", "SandboxTarget"]
