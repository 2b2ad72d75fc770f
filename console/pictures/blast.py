"""What a cut reaches: from the identity to its sessions and credentials, to what they did, to what they touched.

Colour never stands alone: each box says its fate in a word, the place of the cut carries a cross, and a list says all of it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class Fate(StrEnum):
    """What happens to a thing. The order is by how much it matters to the reader: the first ones are never folded away before the later."""

    SUBJECT = "subject"
    CUT = "cut"
    HELD = "held"  # waits, restricted meanwhile by the interim stage
    SPARED = "spared"  # somebody promised that it goes on
    STAYS = "stays"


RANK = {fate: rank for rank, fate in enumerate(Fate)}
MEANS = {
    Fate.SUBJECT: "the identity",
    Fate.CUT: "is cut",
    Fate.HELD: "is held while people decide",
    Fate.SPARED: "is spared",
    Fate.STAYS: "stays as it is",
}

BOX_WIDTH, BOX_HEIGHT = 198, 46
ROW, HEAD, EDGE = 60, 26, 4
GAP = 56
LABEL_LENGTH, NOTE_LENGTH = 25, 21


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    label: str
    note: str = ""
    fate: Fate = Fate.STAYS


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Link:
    start: str
    end: str
    fate: Fate = Fate.STAYS


@dataclass(frozen=True, slots=True)
class _Place:
    node: Node
    x: float
    y: float


def blast_radius(columns: Sequence[Column], links: Sequence[Link], *, most: int = 6) -> SafeString:
    """At most `most` boxes in a column: what matters least is folded into one "+ 214 more"; the list below names everything."""
    folded, homes = _fold(columns, most)
    places = _place(folded)
    height = HEAD + ROW * max((len(column.nodes) for column in folded), default=1) - (ROW - BOX_HEIGHT) + EDGE
    width = len(folded) * (BOX_WIDTH + GAP) - GAP + 2 * EDGE
    return format_html(
        '<figure class="picture"><div class="picture-scroll" tabindex="0" role="group" aria-label="Blast radius, scrolls sideways">'
        '<svg class="blast" viewBox="0 0 {} {}" role="img"><title>Blast radius</title><desc>{}</desc>{}{}{}</svg></div>{}{}</figure>',
        width,
        height,
        _in_one_sentence(columns),
        _headings(folded),
        _lines(_rerouted(links, homes), places),
        _boxes(places),
        _key(columns),
        _as_list(columns),
    )


def _fold(columns: Sequence[Column], most: int) -> tuple[list[Column], dict[str, str]]:
    """The columns with their surplus folded, and where each node is to be found now."""
    folded: list[Column] = []
    homes: dict[str, str] = {}
    for number, column in enumerate(columns):
        ordered = sorted(column.nodes, key=lambda node: RANK[node.fate])
        kept, rest = (ordered, []) if len(ordered) <= most else (ordered[: most - 1], ordered[most - 1 :])
        homes |= {node.id: node.id for node in kept}
        if rest:
            more = Node(f"more-{number}", f"+ {len(rest)} more", _counted(rest), rest[0].fate)
            homes |= {node.id: more.id for node in rest}
            kept = [*kept, more]
        folded.append(replace(column, nodes=tuple(kept)))
    return folded, homes


def _counted(nodes: Sequence[Node]) -> str:
    counts = Counter(node.fate for node in nodes)
    return ", ".join(f"{count} {_short(fate, count)}" for fate, count in sorted(counts.items(), key=lambda pair: RANK[pair[0]]))


def _short(fate: Fate, count: int = 1) -> str:
    if fate is Fate.SUBJECT:
        return ""
    return "stay" if fate is Fate.STAYS and count > 1 else fate.value


def _rerouted(links: Sequence[Link], homes: Mapping[str, str]) -> list[Link]:
    """Each line once, between boxes that are drawn; where several fall together, the one that matters most."""
    kept: dict[tuple[str, str], Link] = {}
    for link in links:
        if link.start not in homes or link.end not in homes:
            continue
        moved = Link(homes[link.start], homes[link.end], link.fate)
        key = (moved.start, moved.end)
        if key not in kept or RANK[moved.fate] < RANK[kept[key].fate]:
            kept[key] = moved
    return sorted(kept.values(), key=lambda link: -RANK[link.fate])  # what matters most is drawn last, on top


def _place(columns: Sequence[Column]) -> dict[str, _Place]:
    tallest = max((len(column.nodes) for column in columns), default=0)
    places = {}
    for number, column in enumerate(columns):
        top = HEAD + (tallest - len(column.nodes)) * ROW / 2
        for row, node in enumerate(column.nodes):
            places[node.id] = _Place(node, EDGE + number * (BOX_WIDTH + GAP), top + row * ROW)
    return places


def _headings(columns: Sequence[Column]) -> SafeString:
    return format_html_join(
        "",
        '<text class="column-name" x="{}" y="12">{}</text>',
        ((EDGE + number * (BOX_WIDTH + GAP), column.name) for number, column in enumerate(columns)),
    )


def _lines(links: Sequence[Link], places: Mapping[str, _Place]) -> SafeString:
    return format_html_join("", "{}", ((_line(link, places[link.start], places[link.end]),) for link in links))


def _line(link: Link, start: _Place, end: _Place) -> SafeString:
    x1, y1 = start.x + BOX_WIDTH, start.y + BOX_HEIGHT / 2
    x2, y2 = end.x, end.y + BOX_HEIGHT / 2
    middle = (x1 + x2) / 2
    line = format_html(
        '<path class="link" data-fate="{}" d="M{} {}C{} {} {} {} {} {}"/>',
        link.fate.value,
        *(f"{number:g}" for number in (x1, y1, middle, y1, middle, y2, x2, y2)),
    )
    knife_falls_here = link.fate is Fate.CUT and start.node.fate is not Fate.CUT
    return line + _snip(middle, (y1 + y2) / 2) if knife_falls_here else line


def _snip(x: float, y: float) -> SafeString:
    return format_html(
        '<circle class="snip" cx="{}" cy="{}" r="8"/><path class="snip-cross" d="M{} {}l6 6m0 -6l-6 6"/>',
        *(f"{number:g}" for number in (x, y, x - 3, y - 3)),
    )


def _boxes(places: Mapping[str, _Place]) -> SafeString:
    return format_html_join("", "{}", ((_box(place),) for place in places.values()))


def _box(place: _Place) -> SafeString:
    node = place.node
    return format_html(
        '<g data-fate="{}"><title>{}</title><rect class="node" x="{}" y="{}" width="{}" height="{}" rx="9"/><text x="{}" y="{}">{}</text>'
        '<text class="picture-note" x="{}" y="{}">{}</text><text class="fate" x="{}" y="{}">{}</text></g>',
        node.fate.value,
        _told(node),
        *(f"{number:g}" for number in (place.x, place.y, BOX_WIDTH, BOX_HEIGHT, place.x + 12, place.y + 19)),
        _shortened(node.label, LABEL_LENGTH),
        *(f"{number:g}" for number in (place.x + 12, place.y + 36)),
        _shortened(node.note, NOTE_LENGTH),
        *(f"{number:g}" for number in (place.x + BOX_WIDTH - 11, place.y + 36)),
        "" if node.id.startswith("more-") else _short(node.fate),
    )


def _shortened(words: str, length: int) -> str:
    return words if len(words) <= length else words[: length - 1].rstrip() + "…"


def _told(node: Node) -> str:
    note = f" ({node.note})" if node.note else ""
    return f"{node.label}{note}: {MEANS[node.fate]}"


def _in_one_sentence(columns: Sequence[Column]) -> str:
    by_fate: dict[Fate, list[str]] = {}
    for column in columns:
        for node in column.nodes:
            by_fate.setdefault(node.fate, []).append(node.label)
    parts = [f"{MEANS[fate]}: {', '.join(by_fate[fate])}" for fate in Fate if fate in by_fate]
    return ". ".join(part[0].upper() + part[1:] for part in parts) + "." if parts else "Nothing is known to be reached."


def _key(columns: Sequence[Column]) -> SafeString:
    """Only the signs that this picture uses."""
    used = {node.fate for column in columns for node in column.nodes} - {Fate.SUBJECT}
    return format_html(
        '<ul class="picture-key" aria-hidden="true">{}</ul>',
        format_html_join(
            "",
            '<li><svg viewBox="0 0 26 12"><rect data-fate="{}" x="1" y="1" width="24" height="10" rx="3"/></svg>{}</li>',
            ((fate.value, MEANS[fate]) for fate in Fate if fate in used),
        ),
    )


def _as_list(columns: Sequence[Column]) -> SafeString:
    lines = [(column.name, _told(node)) for column in columns for node in column.nodes if node.fate is not Fate.SUBJECT]
    if not lines:
        return SafeString("")
    return format_html(
        '<details class="picture-words"><summary>The same as a list</summary><ul>{}</ul></details>',
        format_html_join("", "<li>{}</li>", ((words,) for _, words in lines)),
    )
