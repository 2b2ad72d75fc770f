"""Names that callers choose: what they are without per cent signs, and how much of one the database can find again."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from urllib.parse import unquote

MOST_DETOURS = 4  # how often a name may be written in per cent signs within per cent signs
MOST_BYTES = 1_000  # of one name: two of them and a key fit into one line of an index


def decoded(text: str) -> str:
    for _ in range(MOST_DETOURS):
        if (shorter := unquote(text)) == text:
            break
        text = shorter
    return text


@lru_cache(maxsize=2_000)
def trouble_with(name: str) -> tuple[str, str] | None:
    """Why it is no name, as the code of a fault and a sentence: control characters, also written in per cent signs, and more bytes than can
    be found again, as it stands or in one spelling with others."""
    plain = unicodedata.normalize("NFKC", decoded(unicodedata.normalize("NFKC", name)))
    if any(one < " " or one == "\x7f" for one in (*name, *plain)):
        return "wrong_form", "It may not hold control characters, also not written in per cent signs."
    if any(len(one.encode("utf-8", "surrogatepass")) > MOST_BYTES for one in (name, plain)):
        return "too_long", f"At most {MOST_BYTES:,} bytes, in each spelling."
    return None
