"""A service that does not answer is not waited for with every call: after a few failures it counts as gone, and is tried now and then.

No clock of its own: the caller says what time it is.
"""

from __future__ import annotations

FAILURES = 2
FIRST_S, LONGEST_S = 1.0, 10.0


class Breaker:
    def __init__(self) -> None:
        self._failures = 0
        self._rest_s = FIRST_S
        self._closed_until = 0.0
        self._trying = False

    @property
    def tripped(self) -> bool:
        return self._failures >= FAILURES

    def admits(self, now: float) -> bool:
        """May this call ask? While the service counts as gone, one at a time may, after each rest."""
        if not self.tripped:
            return True
        if self._trying or now < self._closed_until:
            return False
        self._trying = True
        return True

    def answered(self) -> None:
        """Any answer is one, a no too."""
        self._failures, self._rest_s, self._trying = 0, FIRST_S, False

    def failed(self, now: float) -> None:
        was_tripped, self._trying = self.tripped, False
        self._failures += 1
        if self.tripped:
            self._rest_s = min(self._rest_s * 2, LONGEST_S) if was_tripped else FIRST_S
            self._closed_until = now + self._rest_s

    def gave_up(self) -> None:
        """Whoever tried was cancelled: nobody knows, and the next one may try."""
        self._trying = False
