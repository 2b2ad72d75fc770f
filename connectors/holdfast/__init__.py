"""Holdfast's own session gate as a connector: pauses, restricts, resumes and ends sessions whose runtimes ask us before they act."""

from connectors.holdfast.connector import HoldfastConnector, SessionGate

__all__ = ["HoldfastConnector", "SessionGate"]
