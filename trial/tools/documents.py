"""The folder of documents that people and suppliers put things into. A supplier writes them, so their text is not to be trusted."""

from __future__ import annotations

from pathlib import Path

LONGEST = 20_000  # characters of a document that are read
MOST = 200  # documents that are listed

Listing = list[str]


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def list(self) -> Listing:
        """The newest first, by name."""
        files = [file for file in self.path.glob("*.txt") if file.is_file() and _can_be_said(file.name)]
        return [file.name for file in sorted(files, key=lambda file: (-file.stat().st_mtime_ns, file.name))[:MOST]]

    def read(self, name: str) -> str:
        """A name from the list, and no way out of the folder."""
        if name not in self.list():
            raise ValueError(f"There is no document {name!r}.")
        return (self.path / name).read_text(encoding="utf-8", errors="replace")[:LONGEST]


def _can_be_said(name: str) -> bool:
    """Not a name of bytes that are no text, which no message can carry."""
    return name.isprintable()
