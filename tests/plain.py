"""How tests speak HTTP without TLS: httpx reads every certificate there is for each call otherwise, which costs more than the call."""

from __future__ import annotations

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # as `verify`: it knows no authority, and is never asked
