"""The registry: which connector instance acts on which provider. A connector that leaves a declaration out does not load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connectors.base import Ability, Connector, Measure


class IncompleteConnector(Exception):  # noqa: N818
    """It does not say what repeating a call does, how to undo it, how long access lives on, or how death is proven."""


_instances: dict[str, Connector] = {}


def configure(providers: Mapping[str, Mapping[str, Any]], *, gate: Any) -> None:
    """provider name -> {"use": which connector, …its settings}. `gate` is what the holdfast connector acts through."""
    _instances.clear()
    for provider, given in providers.items():
        settings = {name: value for name, value in given.items() if name != "use"}
        register(provider, _FACTORIES[given["use"]](settings, gate))


def register(provider: str, connector: Connector) -> None:
    for measure, ability in connector.abilities.items():
        _complete(connector.name, measure, ability)
    _instances[provider] = connector


def connector_for(provider: str) -> Connector | None:
    return _instances.get(provider)


def providers() -> Mapping[str, Connector]:
    return dict(_instances)


def _complete(name: str, measure: Measure, ability: Ability) -> None:
    if not (ability.inverse and ability.probe):
        raise IncompleteConnector(f"{name} does not say how {measure} is undone or proven")


def _postgres(settings: Mapping[str, Any], gate: Any) -> Connector:
    from connectors.postgres import PostgresConnector

    return PostgresConnector(**settings)


def _holdfast(settings: Mapping[str, Any], gate: Any) -> Connector:
    from connectors.holdfast import HoldfastConnector

    return HoldfastConnector(gate=gate)


def _webhook(settings: Mapping[str, Any], gate: Any) -> Connector:
    from connectors.webhook import WebhookConnector

    return WebhookConnector(**settings)


def _sandbox(settings: Mapping[str, Any], gate: Any) -> Connector:
    from connectors.sandbox import SandboxConnector

    return SandboxConnector(**settings)


_FACTORIES: Mapping[str, Callable[[Mapping[str, Any], Any], Connector]] = {
    "sandbox": _sandbox,
    "postgres": _postgres,
    "holdfast": _holdfast,
    "webhook": _webhook,
}
