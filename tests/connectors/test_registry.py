"""A connector that leaves a declaration out does not load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors import registry
from connectors.base import Ability, Connector, EffectClass, Measure, OnAmbiguous
from connectors.postgres import PostgresConnector
from connectors.registry import IncompleteConnector
from connectors.sandbox import SandboxConnector
from connectors.webhook import WebhookConnector

DSN = "postgresql://somebody@127.0.0.1:1/somewhere"
SECRET = "whsec_" + "A" * 32
WHOLE = Ability(EffectClass.NATURAL, OnAmbiguous.LOOK, "the state before", timedelta(0), "the target's record")


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    before = dict(registry.providers())
    yield
    registry._instances.clear()
    registry._instances.update(before)


def connector_with(ability: Ability) -> Connector:
    connector = SandboxConnector(dsn=DSN)
    connector.abilities = {Measure.SESSION_PAUSE: ability}
    return connector


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ({"effect": None}, "what repeating it does"),
        ({"on_ambiguous": None}, "what to do when it may have happened"),
        ({"effect": EffectClass.BLIND}, "that a person is asked"),
        ({"inverse": ""}, "how it is undone"),
        ({"residual": None}, "how long access may live on"),
        ({"residual": timedelta(seconds=-1)}, "how long access may live on"),
        ({"probe": ""}, "how death is proven"),
        ({"settle": timedelta(0)}, "how long the proof may take"),
    ],
)
def test_a_connector_that_leaves_anything_out_does_not_load(left_out: dict[str, Any], said: str) -> None:
    with pytest.raises(IncompleteConnector, match=said):
        registry.register("half", connector_with(replace(WHOLE, **left_out)))
    assert registry.connector_for("half") is None


def test_something_that_is_no_connector_does_not_load() -> None:
    class Half:
        name = "half"
        abilities = {Measure.SESSION_PAUSE: WHOLE}

    with pytest.raises(IncompleteConnector):
        registry.register("half", Half())  # type: ignore[arg-type]


def test_a_whole_one_loads_and_is_found_by_its_provider() -> None:
    connector = connector_with(WHOLE)
    registry.register("whole", connector)
    assert registry.connector_for("whole") is connector
    assert registry.connector_for("nobody") is None


def test_two_instances_of_one_connector_have_a_provider_each() -> None:
    registry.configure({"postgres": {"use": "postgres", "dsn": DSN}, "postgres-eu": {"use": "postgres", "dsn": DSN}}, gate=None)
    first, second = registry.connector_for("postgres"), registry.connector_for("postgres-eu")
    assert isinstance(first, PostgresConnector)
    assert isinstance(second, PostgresConnector)
    assert first is not second


@pytest.mark.parametrize("left_out", ["inverse", "residual_s", "probe"])
def test_a_measure_that_a_webhook_offers_is_declared_too(left_out: str) -> None:
    offer = {"inverse": "the state before", "residual_s": 60, "probe": "its record"}
    whole = WebhookConnector(url="https://example.com/", secret=SECRET, measures={"identity.disable": offer})
    assert registry.undeclared(whole) == []
    del offer[left_out]
    half = WebhookConnector(url="https://example.com/", secret=SECRET, measures={"identity.disable": offer})
    assert len(registry.undeclared(half)) == 1
