"""What static/vendor says about itself is true: nothing changed by hand, nothing without its licence, nothing unlisted."""

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "static" / "vendor"
LISTED = json.loads((VENDOR / "vendor.json").read_text())["files"]
LICENCE_SAYS = {"0BSD": "Zero-Clause BSD", "OFL-1.1": "SIL OPEN FONT LICENSE Version 1.1", "MIT": "MIT License"}


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["file"])
def test_a_vendored_file_is_the_one_that_was_copied(entry):
    assert hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["file"])
def test_a_vendored_file_has_the_licence_it_claims_beside_it(entry):
    licence = (VENDOR / entry["file"]).with_name("LICENSE").read_text()
    assert LICENCE_SAYS[entry["licence"]] in licence


def test_nothing_lies_in_the_vendor_folder_that_is_not_listed():
    lying_there = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    expected = {entry["file"] for entry in LISTED}
    licences = {f"{Path(name).parent.as_posix()}/LICENSE" for name in expected}
    assert lying_there == expected | licences | {"vendor.json"}


def test_versions_are_those_that_the_front_end_asks_for():
    asked = json.loads((ROOT / "frontend" / "package.json").read_text())["dependencies"]
    assert {entry["name"]: entry["version"] for entry in LISTED} == asked


def test_the_lock_file_pins_content_and_names_no_registry():
    lock = (ROOT / "frontend" / "package-lock.json").read_text()
    packages = {name: package for name, package in json.loads(lock)["packages"].items() if name}
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_every_icon_that_a_page_names_is_in_the_sprite():
    sprite = next(VENDOR.glob("tabler-icons/*/sprite.svg")).read_text()
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', sprite))
    named = {name for page in (ROOT / "templates").rglob("*.html") for name in re.findall(r'{%\s*icon\s+"([\w-]+)"', page.read_text())}
    assert named <= drawn
