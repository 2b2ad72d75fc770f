"""What the world's connector makes of an answer that asks it to wait."""

from __future__ import annotations

import pytest

from tests.world.connector import _seconds


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        ("2", 2),
        ("0", 0),
        ("-5", 0),
        ("1e9", 900),
        ("nan", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00", None),
    ],
)
def test_nonsense_asks_for_no_time_and_nobody_waits_for_ever(said, seconds):
    assert _seconds(said) == seconds
