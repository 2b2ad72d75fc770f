"""The seal: AES-256-GCM under the installation's key. What was sealed opens only unchanged, under its own name, with its own key.

Layout: `HFS1`, eight bytes that name the key, twelve of nonce, the ciphertext with its tag. The layout and the name of the thing are
authenticated with it, so sealed bytes that were moved to another row do not open there.
"""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

FORMAT = b"HFS1"
_KEY, _NONCE = 8, 12
_HEAD = len(FORMAT) + _KEY


class Broken(Exception):  # noqa: N818 - what was found, not what went wrong here
    """It does not open. The message says why, and nothing of the content."""


def key_id() -> str:
    return _name_of(settings.SEAL_KEY).hex()


def close(content: bytes, *, named: str) -> bytes:
    nonce = os.urandom(_NONCE)
    head = FORMAT + _name_of(settings.SEAL_KEY)
    return head + nonce + AESGCM(settings.SEAL_KEY).encrypt(nonce, content, head + named.encode())


def open_(sealed: bytes, *, named: str) -> bytes:
    head, nonce, ciphertext = sealed[:_HEAD], sealed[_HEAD : _HEAD + _NONCE], sealed[_HEAD + _NONCE :]
    if head[: len(FORMAT)] != FORMAT or len(nonce) != _NONCE:
        raise Broken("these are not sealed bytes")
    if head[len(FORMAT) :] != _name_of(settings.SEAL_KEY):
        raise Broken("it was sealed under another key")
    try:
        return AESGCM(settings.SEAL_KEY).decrypt(nonce, ciphertext, head + named.encode())
    except InvalidTag:
        raise Broken("its seal is broken") from None


def _name_of(key: bytes) -> bytes:
    return hashlib.sha256(b"holdfast seal key " + key).digest()[:_KEY]
