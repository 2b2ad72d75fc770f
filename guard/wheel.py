"""The client package as a wheel, made from its own source: whoever reaches this installation can install what speaks with it, and nothing
else that happens to have its name."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "clients" / "python"
WHEN = (2026, 1, 1, 0, 0, 0)  # the same source is the same file, byte for byte


@functools.cache
def project() -> dict[str, Any]:
    return dict(tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"])


def name() -> str:
    """As pip wants a wheel to be called: holdfast_guard-0.1.0-py3-none-any.whl."""
    return f"{_distribution()}-py3-none-any.whl"


@functools.cache
def content() -> bytes:
    files = {
        path.relative_to(SOURCE / "src").as_posix(): path.read_bytes()
        for path in sorted((SOURCE / "src").rglob("*"))
        if path.is_file() and (path.suffix == ".py" or path.name == "py.typed")
    }
    info = f"{_distribution()}.dist-info"
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: holdfast\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if scripts := project().get("scripts"):
        files[f"{info}/entry_points.txt"] = ("[console_scripts]\n" + "".join(f"{one} = {at}\n" for one, at in scripts.items())).encode()
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    return _packed(files)


def _packed(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            member = zipfile.ZipInfo(path, date_time=WHEN)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            wheel.writestr(member, data)
    return packed.getvalue()


def _metadata() -> str:
    said = project()
    lines = [
        "Metadata-Version: 2.3",
        f"Name: {said['name']}",
        f"Version: {said['version']}",
        f"Summary: {said['description']}",
        f"License-Expression: {said['license']}",
        f"Requires-Python: {said['requires-python']}",
        *(f"Requires-Dist: {one}" for one in said["dependencies"]),
    ]
    for extra, wanted in said.get("optional-dependencies", {}).items():
        lines += [f"Provides-Extra: {extra}", *(f"Requires-Dist: {one}; extra == {extra!r}" for one in wanted)]
    return "\n".join(lines) + "\n"


def _distribution() -> str:
    return f"{re.sub(r'[-_.]+', '_', project()['name'])}-{project()['version']}"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
