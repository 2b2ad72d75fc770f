"""A playbook as its author wrote it: YAML in, a checked Document out. Every fault is named with its line, its path and the rule it breaks.

No template language: a parameter is a literal or a field reference `{from: target.must_go_on.schemas}`, resolved once, frozen, and shown to
whoever approves.
"""

from __future__ import annotations

from itertools import islice

import yaml

from core.refusals import BadInput, Fault
from playbooks.domain import document_rules, yaml_lines
from playbooks.domain.document_reader import Reader
from playbooks.domain.specs import Document
from playbooks.domain.yaml_lines import LOADER, MOST_FAULTS, Located, NotReadable


def parse(text: str) -> Document:
    """Read and check. BadInput names every fault with its line and path."""
    document, faults = check(text)
    if document is None or faults:
        raise BadInput([Fault(fault.path, fault.code, f"line {fault.line}: {fault.detail}") for fault in faults])
    return document


def check(text: str) -> tuple[Document | None, list[Located]]:
    """What can be read of a text, for a picture of it, and what is wrong with it: the first hundred faults. None where nothing can."""
    try:
        lined = yaml_lines.load(text)
    except NotReadable as found:
        return None, found.faults
    reader = Reader()
    document = reader.document(lined.value)
    faults = reader.faults
    if document is not None and not faults:
        faults = list(islice(document_rules.faults_of(document), MOST_FAULTS))
    return document, [Located(lined.line_of(fault.path), fault.path, fault.code, fault.detail) for fault in faults]


def stored(text: str) -> Document:
    """A text that somebody approved. It means what it meant then: a rule that came later does not take a plan out of force."""
    reader = Reader()
    document = reader.document(yaml.load(text, Loader=LOADER))  # noqa: S506 - a safe one
    if document is None:
        raise BadInput(reader.faults)
    return document
