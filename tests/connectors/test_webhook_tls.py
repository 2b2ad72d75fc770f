"""Only a receiver with a certificate that fits is spoken to, and nothing says otherwise. (F8)"""

from __future__ import annotations

import inspect
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.base import Measure, State, Step, Target, Unavailable
from connectors.webhook import WebhookConnector
from tests.connectors.contract import KEY
from tests.connectors.receiver import SECRET

pytestmark = pytest.mark.fault("F8")
NOTIFY = Step(Measure.NOTIFY, Target("webhook", "human", "omar", "0190a5b0-0000-7000-8000-00000000000c"), deadline_s=5)
DAY = timedelta(days=1)


class Authority:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._signed(self.name, self.key, DAY, None).public_bytes(serialization.Encoding.PEM))

    def issue(self, file: str, *, host: str = "127.0.0.1", until: timedelta = DAY) -> Path:
        """A certificate with its key, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a receiver")])
        alternative = x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        signed = self._signed(name, key, until, alternative)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self.folder / file
        path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
        return path

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, until: timedelta, alternative: x509.GeneralName | None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(issuer_name=self.name, subject_name=name, public_key=key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - 9 * DAY).not_valid_after(now + until)
        builder = builder.add_extension(x509.BasicConstraints(ca=alternative is None, path_length=None), critical=True)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if alternative is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        else:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(self.key, hashes.SHA256())


Serve = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """An https server with this certificate. Answers with its address and the paths that were asked for."""
    running: list[tuple[HTTPServer, threading.Thread]] = []

    def start(certificate: Path, newest: ssl.TLSVersion | None = None) -> tuple[str, list[str]]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Tests read `asked` instead."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if newest:
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # old on purpose
                context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        running.append((server, thread))
        return f"https://127.0.0.1:{server.server_address[1]}/hooks", asked

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def told(url: str, authorities: Path | str) -> bool:
    connector = WebhookConnector(url=url, secret=SECRET, private_hosts=["127.0.0.1"], authorities=str(authorities))
    return connector.perform(NOTIFY, key=KEY, was=State(contained=False, public={})).changed


def test_a_receiver_with_a_certificate_of_the_configured_authority_is_told(tmp_path: Path, serve: Serve) -> None:
    authority = Authority(tmp_path, "ours")
    url, asked = serve(authority.issue("good.pem"))
    assert told(url, authority.file)
    assert asked == ["/hooks"]


@pytest.mark.parametrize(
    "wrong", ["expired", "another name", "a name for an address", "another authority", "nobody's authority", "old TLS"]
)
def test_any_other_is_told_nothing_and_the_reason_is_named(tmp_path: Path, serve: Serve, wrong: str) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    certificate = {
        "expired": lambda: ours.issue("expired.pem", until=-DAY),
        "another name": lambda: ours.issue("other.pem", host="127.0.0.2"),
        "a name for an address": lambda: ours.issue("name.pem", host="localhost"),
        "another authority": lambda: theirs.issue("theirs.pem"),
    }.get(wrong, lambda: ours.issue("good.pem"))()
    url, asked = serve(certificate, ssl.TLSVersion.TLSv1_1 if wrong == "old TLS" else None)
    with pytest.raises(Unavailable, match=r"Nothing was sent\.") as refused:
        told(url, "" if wrong == "nobody's authority" else ours.file)
    assert ("TLS" if wrong == "old TLS" else "certificate") in refused.value.said
    assert asked == []


def test_there_is_no_setting_that_trusts_everybody() -> None:
    assert set(inspect.signature(WebhookConnector).parameters) == {
        "url",
        "secret",
        "private_hosts",
        "authorities",
        "measures",
        "clock",
    }
