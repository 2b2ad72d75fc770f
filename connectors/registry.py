"""The registry: which connector instance acts on which provider. A connector that leaves a declaration out does not load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from connectors.base import Connector, EffectClass, OnAmbiguous


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
    if missing := undeclared(connector):
        raise IncompleteConnector(f"{connector.name} does not declare {'; '.join(missing)}")
    _instances[provider] = connector


def undeclared(connector: Any) -> list[str]:
    """What a connector leaves out, in words. It must be empty to load."""
    if not isinstance(connector, Connector):
        return ["all that the contract asks of a connector"]
    missing = [f"{what} ({measure})" for measure, ability in connector.abilities.items() for what in _undeclared(ability)]
    return missing if connector.abilities else ["what it can do"]


def connector_for(provider: str) -> Connector | None:
    return _instances.get(provider)


def providers() -> Mapping[str, Connector]:
    return dict(_instances)


def _undeclared(ability: Any) -> Iterator[str]:
    if not isinstance(ability.effect, EffectClass):
        yield "what repeating it does"
    if not isinstance(ability.on_ambiguous, OnAmbiguous):
        yield "what to do when it may have happened"
    if ability.effect is EffectClass.BLIND and ability.on_ambiguous is not OnAmbiguous.ASK:
        yield "that a person is asked when it may have happened, since nothing shows it"
    if not ability.inverse:
        yield "how it is undone"
    if not isinstance(ability.residual, timedelta) or ability.residual < timedelta(0):
        yield "how long access may live on"
    if not ability.probe:
        yield "how death is proven"
    if not isinstance(ability.settle, timedelta) or ability.settle <= timedelta(0):
        yield "how long the proof may take"


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


Factory = Callable[[Mapping[str, Any], Any], Connector]


def know(use: str, factory: Factory) -> None:
    """One more connector that settings may name, for those who bring their own: called from their settings module."""
    _FACTORIES[use] = factory


_FACTORIES: dict[str, Factory] = {
    "sandbox": _sandbox,
    "postgres": _postgres,
    "holdfast": _holdfast,
    "webhook": _webhook,
}
