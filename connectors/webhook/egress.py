"""The way out: one POST to one checked address, within one deadline, with one short answer.

A URL may name anything, so its host is resolved once, every address it has is checked, and the connection goes to a checked address while
TLS and the Host header keep the name. No redirect is followed, no proxy setting is read, no compressed answer is taken. Whatever the
server does, slowly or endlessly, ends with the deadline, because each read and write gets only the time that is left.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore

from connectors.base import Ambiguous, Rejected, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MOST_BYTES = 64 * 1024
NAT64 = ipaddress.ip_network("64:ff9b::/96")
ODD_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\]")
LOOKS_LIKE_A_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0[xX][0-9a-fA-F]*)\.?")


@dataclass(frozen=True, slots=True)
class Place:
    """A URL that was checked, and the addresses that it may be reached at."""

    url: str
    host: str
    port: int
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def place(url: str, *, private_hosts: Collection[str] = (), seconds: float = 5.0) -> Place:
    """Rejected if it leads somewhere that it may not. `private_hosts`: hosts of ours, which may be private, and plain http."""
    if ODD_CHARACTERS.search(url):
        raise Rejected("The webhook's address has characters in it that no address has.")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").rstrip(".").encode("idna").decode().lower()
    except (ValueError, UnicodeError):
        raise Rejected("The webhook's address cannot be read.") from None
    if not host or "%" in host or parts.username is not None or parts.password is not None:
        raise Rejected("A webhook's address has a host, and no user, password or zone.")
    ours = host in {name.lower() for name in private_hosts}
    if parts.scheme != "https" and not (ours and parts.scheme == "http"):
        raise Rejected("A webhook's address begins with https://.")
    port = port or (443 if parts.scheme == "https" else 80)
    addresses = tuple(_literal(host) or _resolved(host, port, seconds))
    for address in addresses:
        if not _may_be_reached(address, ours=ours):
            raise Rejected(f"{host} leads to {address}, which no message may be sent to.")
    return Place(url, host, port, addresses)


def post(where: Place, body: bytes, headers: Mapping[str, str], *, seconds: float, authorities: str = "") -> Answer:
    """Unavailable if nothing was sent, Ambiguous if it may have arrived."""
    way = _Way(where, time.monotonic() + seconds)
    context = _trusting(authorities) if where.url.lower().startswith("https:") else None  # (to load the authorities takes its time)
    try:
        with (
            httpcore.ConnectionPool(network_backend=way, ssl_context=context, max_connections=1, retries=0) as pool,
            pool.stream("POST", where.url, headers=[*headers.items(), ("accept-encoding", "identity")], content=body) as response,
        ):
            return _read(response)
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        raise Unavailable(_not_reached(where.host, error)) from error
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        trouble = Ambiguous if way.sent else Unavailable
        raise trouble(f"{where.host} did not answer properly in time: {type(error).__name__}.") from error


def _trusting(authorities: str) -> ssl.SSLContext:
    """Checks the name and the chain; nothing can switch that off."""
    context = ssl.create_default_context(cafile=authorities or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _not_reached(host: str, error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{host} shows a certificate that is not accepted: {cause.verify_message}. Nothing was sent."
        if isinstance(cause, ssl.SSLError):
            return f"{host} speaks no TLS that is safe enough: {cause.reason or 'no reason given'}. Nothing was sent."
        cause = cause.__cause__ or cause.__context__
    return f"{host} is not reachable: {type(error).__name__}."


def _read(response: httpcore.Response) -> Answer:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    body = b""
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return Answer(response.status, headers, b"")  # nobody who took a message has so much to say about it
    encoded = headers.get("content-encoding", "identity") != "identity"
    return Answer(response.status, headers, b"" if encoded else body)


def _literal(host: str) -> tuple[Address, ...]:
    """The host if it is an address itself. Numbers written in any other way than usual are refused: programs read them differently."""
    try:
        return (ipaddress.ip_address(host),)
    except ValueError:
        if LOOKS_LIKE_A_NUMBER.fullmatch(host):
            raise Rejected("A webhook's address is a name or an ordinary IP address.") from None
        return ()


def _resolved(host: str, port: int, seconds: float) -> Iterable[Address]:
    """getaddrinfo knows no deadline, so it is asked from the side."""
    found: list[Any] = []
    asked = threading.Thread(target=_ask, args=(host, port, found), daemon=True)
    asked.start()
    asked.join(seconds)
    if not found:
        raise Unavailable(f"{host} has no address, or none in time.")
    return sorted({ipaddress.ip_address(entry[4][0]) for entry in found}, key=lambda address: (address.version, int(address)))


def _ask(host: str, port: int, found: list[Any]) -> None:
    try:
        found += socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return


def _may_be_reached(address: Address, *, ours: bool) -> bool:
    """Public addresses; private and loopback ones for hosts of ours. Never link-local ones, where clouds keep their metadata."""
    return all(
        not (one.is_multicast or one.is_unspecified or one.is_link_local)
        and (one.is_global or (ours and (one.is_loopback or (one.is_private and not one.is_reserved))))
        for one in (address, *_inside(address))
    )


def _inside(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address carries in it."""
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    carried: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in carried if one is not None]


class _Way(httpcore.NetworkBackend):
    """Connects to the checked addresses alone, whatever the name may say by now."""

    def __init__(self, where: Place, ends: float) -> None:
        self._where = where
        self._ends = ends
        self._system = httpcore.SyncBackend()
        self.sent = False

    def left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        trouble: Exception = httpcore.ConnectError()
        for address in self._where.addresses:
            try:
                return _Stream(self._system.connect_tcp(str(address), self._where.port, timeout=self.left()), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                trouble = error
        raise trouble


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, way: _Way) -> None:
        self._stream = stream
        self._way = way

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._way.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._way.sent = True
        self._stream.write(buffer, self._way.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._way.left()), self._way)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
