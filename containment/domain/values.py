"""Values: what stands in a text or an argument, brought to one form, so that the same address or amount is found again in another spelling.

A text becomes a set of marks; a value is in a text when all of its own marks are. Marks are plain strings here. Whoever keeps them keeps
keyed fingerprints of them instead (containment.session_use), which compare just as well.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache

LONGEST = 200_000  # characters of one text that are looked at
MOST_LEAVES = 2_000  # values of one argument that are looked at; who asks can tell that there were more


class Shape(StrEnum):
    """What a value is, by its own form."""

    EMAIL = "email"
    URL = "url"
    HOST = "host"
    ACCOUNT = "account"
    PATH = "path"
    NUMBER = "number"
    TEXT = "text"


_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
# "x"@example.org, x@localhost, x@[192.0.2.1]
_ODD_EMAIL = re.compile(r"(?:\"[^\"\n]{1,64}\"|(?<![\w.+'-])[\w.+'-]+)@(?:\[[^\]\s]{1,64}\]|[\w-]+(?:\.[\w-]+)*)")
_DISPLAYED = re.compile(r"\s*+(?:\"[^\"@]*+\"\s*+|[^\"@<>\[\]()]*+)<\s*+([^<>\s]++)\s*+>\s*+")  # Dora <dora@example.org>
_PIECES = re.compile(r"(?:\"[^\"\n]*\"|[^\",;\n])+")
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]{0,40}://|www\.)[^\s\"'<>`|\\{}\[\]]+")
_BARE = re.compile(
    r"(?<![\w@./-])(?:[a-z0-9]++(?:-++[a-z0-9]++)*+\.)+(?:com|net|org|edu|gov|int|info|biz)(?![.-]*+\w)(?::\d+)?(?:/[^\s\"'<>`]*)?"
)
_DOTTED = re.compile(r"(?<![a-z0-9.-])-*+(?:[a-z0-9]++(?:-++[a-z0-9]++)*+\.)+[a-z][a-z0-9-]*+")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_PATH = re.compile(r"(?<![\w:/@.~+*-])(?:~|\.{1,2})?/?[\w.@+*-]*(?:/[\w.@+*-]+)+/?")
_WORD = re.compile(r"[^\W_]+(?:[._-]+[^\W_]+)*")
_NUMBER = re.compile(r"(?<![\w.,])[-+]?\d{1,3}(?:[,' ]\d{3}){1,8}(?:\.\d+)?(?![\w,])|(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w])")
_GROUP = re.compile(r"(?<!\w)\+?[a-z0-9]{1,6}(?!\w)")
MOST_GROUPS = 10
LONGEST_PLACES = 2_000
LONGEST_HOST = 253  # RFC 1035, section 2.3.4, without its last dot
_MONEY = re.compile(r"^(?:[a-z]{3}|[$€£¥])?\s*+([-+]?[\d,' ]*\d(?:\.\d+)?)\s*(?:[a-z]{3}|[$€£¥%])?$")
_ENDING = ".,;:!?)]}>\"'"


def plain_form(text: str) -> str:
    """One spelling: compatible characters made the same, no invisible ones, no capitals, and one dot, where it stands inside a name."""
    same = unicodedata.normalize("NFKC", text[:LONGEST])
    if same.isascii():
        return same.casefold()
    return _FULL_STOP.sub(".", "".join(one for one in same if unicodedata.category(one) != "Cf").casefold())


_FULL_STOP = re.compile("\u3002(?=[a-z0-9])")  # U+FF0E and U+FF61 became a dot and this one before


def leaves(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Every single value inside an argument, each under the name that stands nearest to it. A key that is one itself, as in
    {"to": {"dora@example.org": true}}, is a value of what holds it."""
    if isinstance(value, Mapping):
        for inner in sorted(value, key=str):
            if is_value(str(inner), value[inner]):
                yield name, str(inner)
            yield from leaves(str(inner), value[inner])
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value if isinstance(value, (list, tuple)) else sorted(value, key=str):
            yield from leaves(name, item)
    elif value is not None and value != "" and not isinstance(value, bool):
        yield name, str(value)


def is_value(key: str, held: object) -> bool:
    """Whether the key of a mapping is a value and no name: it is marked or counted rather than filled, or no name is written like it."""
    return held is None or held == "" or isinstance(held, bool) or any(one in "@.:/" for one in plain_form(key)) or is_account(key)


@lru_cache(maxsize=4096)
def shape_of(value: str) -> Shape:
    """By its form alone. What could be two things is the one that reaches further."""
    text = plain_form(value).strip()
    if _EMAIL.fullmatch(text) or _EMAIL.fullmatch(text.removeprefix("mailto:")):
        return Shape.EMAIL
    if " " not in text and (_URL.fullmatch(text) or _BARE.fullmatch(text)):
        return Shape.URL
    if _IPV4.fullmatch(text):
        return Shape.HOST
    if is_account(text):
        return Shape.ACCOUNT
    if number_of(text) is not None:
        return Shape.NUMBER
    if " " not in text and _PATH.fullmatch(text):
        return Shape.PATH
    return Shape.TEXT


def is_account(text: str) -> bool:
    """An account, card or phone number: ten characters or more without its spaces, six of them digits, the rest letters."""
    tight = re.sub(r"[\s_()+-]", "", text)
    return (
        10 <= len(tight) <= 40
        and tight.isascii()
        and tight.isalnum()
        and sum(map(str.isdigit, tight)) >= 6
        and len(text) <= 60
        and not _DATE.match(text)
    )


_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}")


def number_of(text: str) -> float | None:
    """The number that `text` is, with its currency or thousands separators or without."""
    found = _MONEY.match(plain_form(text).strip())
    if not found:
        return None
    try:
        return float(re.sub(r"[,' ]", "", found[1]))
    except ValueError:
        return None


def host_of(text: str) -> str:
    """The host of an address: `https://www.example.org:443/a` is `example.org`."""
    rest = text.split("://", 1)[-1]
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rsplit("@", 1)[-1].split(":", 1)[0]
    return host.strip(_ENDING).removeprefix("www.")


def path_of(text: str) -> str:
    """A path in its shortest form: `./a//b/../c/` is `a/c`."""
    return posixpath.normpath(text.strip()) if text.strip() else ""


def marks_of(value: str, shape: Shape | None = None) -> frozenset[str]:
    """What must stand in a text for this value to stand in it. Empty: nothing telling, so that it stands nowhere."""
    text = plain_form(value).strip()
    match shape or shape_of(value):
        case Shape.EMAIL:
            return frozenset({text.removeprefix("mailto:")})
        case Shape.URL | Shape.HOST:
            return frozenset({host_of(text) or path_of(text)})
        case Shape.ACCOUNT:
            return frozenset({_tight(text)})
        case Shape.NUMBER:
            number = number_of(text)
            return frozenset({_number(str(number))}) if number is not None else frozenset()
        case Shape.PATH:
            return frozenset({path_of(text)})
    return frozenset(_words(text))


def marks_in(text: str) -> frozenset[str]:
    """Everything in a text that a value could be compared with."""
    text = plain_form(text)
    marks = set(_words(text))
    if "@" in text:
        marks.update(_EMAIL.findall(text))
        marks.update(found.strip("'") for found in _ODD_EMAIL.findall(text))
    marks.update(host for pattern in (_URL, _BARE) for found in pattern.findall(text) for host in _hosts(host_of(found)))
    marks.update(_IPV4.findall(text))
    marks.update(found.removeprefix("www.") for found in _DOTTED.findall(text))
    marks.update(path_of(found.rstrip(_ENDING)) for found in _PATH.findall(text))
    marks.update(_number(re.sub(r"[,' ]", "", found)) for found in _NUMBER.findall(text))
    marks.update(_grouped(text))
    marks.update(_tight(word) for word in tuple(marks) if is_account(word))
    marks.discard("")
    return frozenset(marks)


def addresses_in(text: str) -> tuple[str, ...]:
    """Addresses that stand inside a longer text: mail, web, accounts. In the order of their alphabet, each once."""
    text = plain_form(text)
    found = set(_EMAIL.findall(text))
    without = _EMAIL.sub(" ", text)
    found.update(one.strip(_ENDING) for pattern in (_URL, _BARE) for one in pattern.findall(without))
    found.update(_longest(_grouped(without)))
    found.update(word for word in _words(without) if is_account(word))
    return tuple(sorted(found))


def recipients_in(text: str) -> tuple[tuple[str, ...], str]:
    """What a text names that says where something goes, and the rest of it, which may be one more in a spelling that we do not read.
    A name shown before an address in angle brackets goes nowhere and is no rest."""
    if len(text) > LONGEST_PLACES:
        return (), text
    text = plain_form(text).replace("\u3002", ".").strip()
    found: set[str] = set()
    rest: list[str] = []
    for piece in _PIECES.findall(text):
        shown = _DISPLAYED.fullmatch(piece)
        places, left = _places_in(shown[1] if shown else piece)
        if shown and not places:
            places, left = _places_in(piece)
        found.update(places)
        rest.append(left)
    return tuple(sorted(found)), " ".join(one for one in rest if one)


def _places_in(text: str) -> tuple[set[str], str]:
    found = {one.strip("'") for one in _ODD_EMAIL.findall(text)}
    without = _ODD_EMAIL.sub(" ", text)
    other = addresses_in(without)
    for one in sorted(other, key=len, reverse=True):
        without = without.replace(one, " ")
    if any(map(is_account, other)):
        without = _GROUP.sub(lambda group: " " if any(group[0] in _tight(one) for one in other) else group[0], without)
    left = without.replace("mailto:", " ").strip(" \t<>()[]{}\"'.,;:|&+-")
    return {*found, *other}, re.sub(r"\s+", " ", left)


def is_odd_email(text: str) -> bool:
    return bool(_ODD_EMAIL.fullmatch(text))


def paths_in(text: str) -> tuple[str, ...]:
    """Paths that stand inside a longer text, such as a command."""
    return tuple(sorted({path_of(one.rstrip(_ENDING)) for one in _PATH.findall(plain_form(_URL.sub(" ", plain_form(text))))}))


def _words(text: str) -> list[str]:
    """Whole words, and the pieces of those that are joined by an underscore: snake_case is found as it stands."""
    return _WORD.findall(text)


def _hosts(host: str) -> list[str]:
    """The host, and what it would be if the next sentence had begun without a space: `example.org.They` is example.org as well."""
    labels = host[:LONGEST_HOST].split(".")
    return [".".join(labels[:count]) for count in range(2, len(labels) + 1)] or [host]


def _grouped(text: str) -> set[str]:
    """Accounts and telephone numbers written in groups, as GB29 NWBK 6016 1331 9268 19: every run of groups that could be one."""
    groups = [(one.start(), one.end(), one[0]) for one in _GROUP.finditer(text)]
    found: set[str] = set()
    for first, (_, end, run) in enumerate(groups):
        if not any(map(str.isdigit, run)):
            continue
        for begin, after, group in groups[first + 1 : first + MOST_GROUPS]:
            if begin != end + 1 or text[end] not in " -":
                break
            run, end = run + group, after
            if is_account(run):
                found.add(_tight(run))
    return found


def _longest(runs: set[str]) -> set[str]:
    """Of runs inside each other, the ones that end with digits and lie in no longer one."""
    ending = {run for run in runs if run[-1].isdigit()}
    return {run for run in ending if not any(run != other and run in other for other in ending)}


def _tight(text: str) -> str:
    return re.sub(r"[\s_()+-]", "", text)


def _number(text: str) -> str:
    try:
        return f"={Decimal(text).normalize():f}"
    except InvalidOperation:
        return ""
