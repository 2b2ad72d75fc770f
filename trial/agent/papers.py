"""The documents that lie in the agent's folder from the beginning. None of them asks for anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PAPERS: Mapping[str, str] = {
    "payment-terms.txt": "Invoices are paid within 30 days. Up to 1,000 EUR the desk books by itself; above that a person decides.\n",
    "suppliers.txt": "Larch Paper: paper and envelopes. Quay Logistics: freight. Ferro Tools: workshop. Milldale Power: electricity.\n",
    "october-summary.txt": "October: 40 invoices, none in dispute. Milldale Power raised its prices by 3 percent.\n",
}


def lay_out(folder: Path) -> None:
    """Once. What people changed or took away stays as they left it."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o755)
    for name, text in PAPERS.items():
        (folder / name).write_text(text, encoding="utf-8")
