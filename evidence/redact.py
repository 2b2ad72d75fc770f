"""Redaction on the way in: what looks like a secret is replaced before the digest is taken and the seal is put on.

Works on bytes, so that text in any encoding close to ASCII and the text parts of binary files are covered alike. JSON is read as JSON as
well: the value of a member whose name says it is a secret goes, however it is written.
"""

from __future__ import annotations

import json

from core import masking


def redact(content: bytes, media_type: str) -> tuple[bytes, int]:
    """The content without what looks like a secret, and how many were found."""
    if media_type.partition(";")[0].strip().endswith("json"):
        try:
            return _redact_json(content)
        except (ValueError, RecursionError):
            pass  # not JSON after all
    return masking.in_bytes(content)


def _redact_json(content: bytes) -> tuple[bytes, int]:
    """Untouched, to the byte, when nothing was found."""
    value, count = masking.in_values(json.loads(content))
    return (json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass"), count) if count else (content, 0)
