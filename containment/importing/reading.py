"""Reads an inventory file into plain values, and remembers on which line each of them stands. Knows nothing of what they mean.

Stricter than YAML: no anchors, no tags, no member twice. A table (CSV) has one section; `origin.address` is a column for a member inside
another, and `;` parts the items of a list. No sentence repeats what stands in the file: it may be a secret.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from containment.importing.shapes import COLUMNS, FLAGS, LISTS, NUMBERS, SECTIONS
from core.refusals import BadInput, Fault

MOST_BYTES = 8 * 1024 * 1024
DEEPEST = 12
_YES, _NO = {"true", "yes"}, {"false", "no"}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CannotImport(BadInput):
    """Nothing of the file was imported. `sentences`: one for each fault, with its line."""

    code = "cannot_import"

    def __init__(self, faults: list[Fault], lines: Lines) -> None:
        placed = sorted(((lines.of(fault.path), fault) for fault in faults), key=lambda one: one[0])
        self.sentences = [f"line {line}: {f'{fault.path}: ' if fault.path else ''}{fault.detail}" for line, fault in placed]
        super().__init__([fault for _, fault in placed], self.sentences[0])


@dataclass(slots=True)
class Lines:
    """The line of every path. A member that is missing stands where its entry begins."""

    known: dict[str, int] = field(default_factory=lambda: {"": 1})

    def of(self, path: str) -> int:
        while path not in self.known:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.known[path]


@dataclass(frozen=True, slots=True)
class Document:
    """Section -> its entries, each with its path."""

    sections: Mapping[str, list[tuple[str, Any]]]
    lines: Lines


def read_yaml(content: bytes) -> Document:
    lines, faults = Lines(), list[Fault]()
    value = _plain(_compose(_text(content)), "", lines, faults)
    sections: dict[str, list[tuple[str, Any]]] = {}
    if not isinstance(value, dict):
        faults.append(Fault("", "wrong_type", f"Lists named {', '.join(SECTIONS)} are needed here."))
        value = {}
    for name, entries in value.items():
        if name not in SECTIONS:
            faults.append(Fault(name, "unknown_member", f"There is no such section. Known are {', '.join(SECTIONS)}."))
        elif entries is not None and not isinstance(entries, list):
            faults.append(Fault(name, "wrong_type", "A list is needed here."))
        else:
            sections[name] = [(f"{name}[{index}]", entry) for index, entry in enumerate(entries or [])]
    if faults:
        raise CannotImport(faults, lines)
    return Document(sections, lines)


def read_csv(content: bytes, section: str) -> Document:
    """The first row names the columns; an empty cell says nothing."""
    lines, faults = Lines(), list[Fault]()
    if section not in COLUMNS:
        raise CannotImport([Fault("", "not_one_of", f"A table holds one of {', '.join(COLUMNS)}.")], lines)
    rows = _rows(_text(content))
    _, columns = next(rows, (1, []))
    for number, column in enumerate(columns, 1):
        if column not in COLUMNS[section] or columns.index(column) < number - 1:
            known = ", ".join(sorted(COLUMNS[section]))
            faults.append(Fault("", "unknown_member", f"Column {number} is not known here, or stands here twice. Known are {known}."))
    entries: list[tuple[str, Any]] = []
    for line, cells in rows:
        path = f"{section}[{len(entries)}]"
        lines.known[path] = line
        if len(cells) > len(columns):
            faults.append(Fault(path, "too_long", f"{len(cells)} cells stand here, and there are {len(columns)} columns."))
        entries.append((path, _entry(dict(zip(columns, cells, strict=False)))))
    if faults:
        raise CannotImport(faults, lines)
    return Document({section: entries}, lines)


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise CannotImport([Fault("", "too_large", f"The file is larger than {MOST_BYTES // 1024**2} MiB. Cut it in pieces.")], Lines())
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _at(content[: error.start].count(b"\n") + 1, "not_utf8", "This is not UTF-8.") from None


def _at(line: int, code: str, sentence: str) -> CannotImport:
    return CannotImport([Fault("", code, sentence)], Lines({"": line}))


# -- YAML ----------------------------------------------------------------------------------------------------------------------------------


def _compose(text: str) -> yaml.Node:
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.NodeEvent) and event.anchor):
                raise _at(line, "anchor", "Anchors and aliases are not allowed. A text that begins with & or * stands in quotes.")
            if depth > DEEPEST:
                raise _at(line, "too_deep", f"More than {DEEPEST} levels deep.")
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _at(mark.line + 1 if mark else 1, "not_yaml", "This is not YAML from here on. Look at indents, colons and quotes.") from None
    except yaml.YAMLError:
        raise _at(1, "not_yaml", "This is not YAML.") from None
    if node is None:
        raise _at(1, "empty", "The file is empty.")
    return node


def _plain(node: yaml.Node, path: str, lines: Lines, faults: list[Fault]) -> Any:
    lines.known[path] = node.start_mark.line + 1 if path else 1
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, f"{path}[{index}]", lines, faults) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, faults)
    return _scalar(node, path, faults)


def _mapping(node: yaml.MappingNode, path: str, lines: Lines, faults: list[Fault]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            faults.append(Fault(path, "wrong_type", "A member has a text as its name."))
            continue
        name = str(key.value)
        place = f"{path}.{name}" if path else name
        if name in found:
            lines.known[place] = key.start_mark.line + 1
            faults.append(Fault(place, "twice", "This member stands here twice."))
            continue
        found[name] = _plain(value, place, lines, faults)
        lines.known[place] = key.start_mark.line + 1
    return found


def _scalar(node: yaml.Node, path: str, faults: list[Fault]) -> Any:
    kind = str(node.tag).rpartition(":")[2]
    if kind in {"timestamp", "str"} or not isinstance(node, yaml.ScalarNode):
        return str(node.value)
    try:
        return SafeConstructor().construct_object(node) if kind in {"int", "float", "bool", "null"} else _unknown(path, faults)
    except ValueError:
        faults.append(Fault(path, "out_of_range", "This number cannot be read."))
        return None


def _unknown(path: str, faults: list[Fault]) -> None:
    faults.append(Fault(path, "tag", "Tags are not allowed. A text that begins with ! stands in quotes."))


# -- CSV -----------------------------------------------------------------------------------------------------------------------------------


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begins, [cell.strip() for cell in cells]
            begins = reader.line_num + 1
    except csv.Error:
        raise _at(begins, "not_csv", "This row cannot be read. Look at its quotes.") from None


def _entry(cells: Mapping[str, str]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for column, cell in cells.items():
        if cell:
            outer, _, inner = column.rpartition(".")
            place = entry.setdefault(outer, {}) if outer else entry
            place[inner] = _cell(column, cell)
    if "used_by" in entry:
        entry["used_by"] = [entry["used_by"]]
    return entry


def _cell(column: str, cell: str) -> Any:
    if column in LISTS:
        return [item.strip() for item in cell.split(";") if item.strip()]
    if column in FLAGS and cell.lower() in _YES | _NO:
        return cell.lower() in _YES
    if column in NUMBERS:
        for read in (int, float):
            try:
                return read(cell)
            except ValueError:
                continue
    return cell
