"""Where the service is, and where the token may go: there, and nowhere else."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def base_url(url: str, *, unencrypted: bool = False) -> str:
    """`url` without its last slash; ValueError where it is none that a token may be sent to."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("The address of the service begins with https:// and names a host.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("The address of the service has no user, password, query or fragment.")
    if parts.scheme == "http" and not unencrypted and not _loopback(parts.hostname):
        raise ValueError("Without https anybody on the way could read the token. Use https, or say send_token_unencrypted=True.")
    return url.rstrip("/")


def path_below(base: str, endpoint: str) -> str:
    """The path of an address that the service gave us; empty if it is another host's, which never sees our token."""
    if not endpoint:
        return ""
    ours, theirs = urlsplit(base), urlsplit(endpoint)
    prefix = ours.path.rstrip("/")
    if theirs.scheme or theirs.netloc:
        if (theirs.scheme, theirs.hostname, _port(theirs)) != (ours.scheme, ours.hostname, _port(ours)):
            return ""
        if not theirs.path.startswith(prefix + "/"):
            return ""
        path = theirs.path[len(prefix) :]
    else:
        path = theirs.path.removeprefix(prefix)
    return path if path.startswith("/") and ".." not in path.split("/") and "\\" not in path else ""


def _port(parts: object) -> int:
    return getattr(parts, "port", None) or (443 if getattr(parts, "scheme", "") == "https" else 80)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
