"""Reads plain values (from JSON, YAML or a table's row) member by member, and collects every fault with its path. No fault repeats a value:
what somebody put into the wrong place may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from core.refusals import Fault

LONGEST = 500
MOST = 1000
_MISSING = object()


class Members:
    """A mapping under the eye of a reader. Ask for what may be there; `finish` complains about whatever nobody asked for."""

    def __init__(self, value: Any, path: str, faults: list[Fault]) -> None:
        self.path = path
        self.faults = faults
        self._asked: set[str] = set()
        self._value: Mapping[str, Any] = {}
        self.is_mapping = isinstance(value, Mapping)
        if isinstance(value, Mapping):
            self._value = {str(name): member for name, member in value.items()}
        else:
            self.fault("", "wrong_type", "A mapping (name: value) is needed here.")

    def __contains__(self, name: str) -> bool:
        return name in self._value

    def fault(self, name: str, code: str, detail: str) -> None:
        self.faults.append(Fault(self.at(name), code, detail))

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path and name else name or self.path

    def text(self, name: str, *, needed: bool = False, longest: int = LONGEST, empty: bool = False) -> str:
        value = self._take(name, needed)
        if value is _MISSING:
            return ""
        if not isinstance(value, str) or (not empty and not value.strip()):
            self.fault(name, "wrong_type", "A text is needed here.")
            return ""
        if len(value) > longest:
            self.fault(name, "too_long", f"At most {longest} characters.")
            return ""
        if "\0" in value:
            self.fault(name, "wrong_form", "No zero character may stand in a text.")
            return ""
        return value.strip()

    def word(self, name: str, words: Collection[str], *, needed: bool = False) -> str:
        value = self._take(name, needed)
        if value is _MISSING:
            return ""
        if not isinstance(value, str) or value not in words:
            self.fault(name, "not_one_of", f"Must be one of {', '.join(words)}.")
            return ""
        return value

    def flag(self, name: str, *, needed: bool = False) -> bool:
        value = self._take(name, needed)
        if value is not _MISSING and not isinstance(value, bool):
            self.fault(name, "wrong_type", "true or false is needed here.")
        return value is True

    def whole(self, name: str, low: int, high: int, *, needed: bool = False) -> int:
        value = self._take(name, needed)
        if value is _MISSING:
            return low
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fault(name, "out_of_range", f"A whole number from {low:,} to {high:,} is needed here.")
            return low
        return value

    def share(self, name: str) -> float:
        value = self._take(name, needed=False)
        if value is _MISSING:
            return 0.0
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            self.fault(name, "out_of_range", "A number from 0 to 1 is needed here.")
            return 0.0
        return float(value)

    def moment(self, name: str, *, needed: bool = False) -> datetime | None:
        text = self.text(name, needed=needed)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fault(name, "wrong_form", "A date or time is needed here, such as 2026-11-22 or 2026-11-22T10:00:00Z.")
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def texts(self, name: str, *, words: Collection[str] | None = None, form: re.Pattern[str] | None = None, like: str = "") -> list[str]:
        """A list of texts, each once. `form` is the shape of each, and `like` an example of it."""
        found: list[str] = []
        for path, value in self.items(name):
            if not isinstance(value, str) or not value.strip() or len(value) > LONGEST or "\0" in value:
                self.faults.append(Fault(path, "wrong_type", "A text is needed here."))
            elif words is not None and value not in words:
                self.faults.append(Fault(path, "not_one_of", f"Must be one of {', '.join(words)}."))
            elif form is not None and not form.fullmatch(value):
                self.faults.append(Fault(path, "wrong_form", f"Must look like {like}."))
            elif value in found:
                self.faults.append(Fault(path, "twice", "This stands in the list already."))
            else:
                found.append(value)
        return found

    def items(self, name: str) -> Iterator[tuple[str, Any]]:
        """Each item with its path."""
        value = self._take(name, needed=False)
        if value is _MISSING:
            return
        if not isinstance(value, list):
            self.fault(name, "wrong_type", "A list is needed here.")
            return
        if len(value) > MOST:
            self.fault(name, "too_long", f"At most {MOST:,} entries.")
            return
        for index, item in enumerate(value):
            yield f"{self.at(name)}[{index}]", item

    def each(self, name: str) -> Iterator[Members]:
        """Each item of a list of mappings, checked for members nobody asked for when the caller is through with it."""
        for path, item in self.items(name):
            yield from _finished(Members(item, path, self.faults))

    def named(self, name: str) -> Iterator[tuple[str, Members]]:
        """Each member of a mapping of mappings, with its name."""
        value = self._take(name, needed=False)
        if value is _MISSING:
            return
        if not isinstance(value, Mapping):
            self.fault(name, "wrong_type", "A mapping (name: value) is needed here.")
            return
        for key, item in value.items():
            for members in _finished(Members(item, f"{self.at(name)}.{key}", self.faults)):
                yield str(key), members

    def part(self, name: str) -> Iterator[Members]:
        """A mapping inside this one, if it is there: `for origin in members.part("origin")`."""
        value = self._take(name, needed=False)
        if value is not _MISSING:
            yield from _finished(Members(value, self.at(name), self.faults))

    def raw(self, name: str) -> Any:
        """Whatever stands there; None if nothing does. The caller checks it."""
        value = self._take(name, needed=False)
        return None if value is _MISSING else value

    def names(self) -> list[str]:
        return list(self._value)

    def finish(self) -> None:
        for name in self._value:
            if name not in self._asked:
                self.fault(name, "unknown_member", "There is no such member." + self._known())

    def _known(self) -> str:
        return f" Known are {', '.join(sorted(self._asked))}." if self._asked else ""

    def _take(self, name: str, needed: bool) -> Any:
        self._asked.add(name)
        if name not in self._value or self._value[name] is None:
            if needed and self.is_mapping:
                self.fault(name, "missing", "This member is needed.")
            return _MISSING
        return self._value[name]


def _finished(members: Members) -> Iterator[Members]:
    yield members
    members.finish()
