"""What the pages say must be so: links lead somewhere, commands exist, and the production files name what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

ROOT = Path(settings.ROOT)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "connectors").glob("*/README.md")])
WORDED = [*PAGES, ROOT / "docker-compose.yml", ROOT / "Dockerfile"]
OF_THE_TRIAL = {path.stem for path in (ROOT / "trial/management/commands").glob("[!_]*.py")}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """As hosting sites make them of headings: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", WORDED, ids=name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    ours = set(re.findall(r"manage\.py,? ([a-z_]+)\b", text))
    scripts = set(re.findall(r"(?<![\w/])(?:script|deploy)/[\w./-]*\w", text))
    assert ours <= get_commands().keys() | OF_THE_TRIAL
    assert {script for script in scripts if not (ROOT / script).exists() and not script.startswith("deploy/secrets")} == set()


def test_every_file_that_the_tour_names_exists() -> None:
    text = (ROOT / "docs/tour.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_0-9-]+\.(?:py|yaml|html))", text))
    assert len(named) > 30
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_every_variable_that_the_settings_read_is_explained() -> None:
    code = "".join((ROOT / "config" / file).read_text() for file in ("settings.py", "celery.py"))
    read = set(re.findall(r'"((?:HOLDFAST|DATABASE|BROKER|CHANNELS)_[A-Z_]+)"', code)) - {"HOLDFAST_PROCESS"}
    said = (ROOT / "docs/howto/production.md").read_text()
    assert {variable for variable in read if f"`{variable}`" not in said} == set()


def test_every_library_of_production_has_its_reason() -> None:
    wanted = re.findall(r"^([a-z][a-z-]+)", (ROOT / "requirements/runtime.in").read_text(), re.MULTILINE)
    said = (ROOT / "docs/decisions/0003-libraries.md").read_text().lower()
    assert len(wanted) > 10
    assert [library for library in wanted if library not in said] == []


def test_every_decision_is_listed_and_has_its_three_parts() -> None:
    folder = ROOT / "docs/decisions"
    listed = set(links(folder / "README.md"))
    pages = sorted(folder.glob("0*.md"))
    assert {page.name for page in pages} == listed
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {page.name[:4]}: ")
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences")), page.name


def test_the_changelog_has_room_for_what_is_not_released() -> None:
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text()


def test_every_service_has_an_image_with_a_tag_and_comes_back_or_ends() -> None:
    services = compose()["services"]
    assert {"web", "worker", "sweeper-1", "sweeper-2", "migrate", "postgres", "rabbitmq", "valkey", "caddy"} == services.keys()
    for which, service in services.items():
        assert re.fullmatch(r"[\w./-]+:(\$\{HOLDFAST_VERSION:-[\w.]+\}|[\w.-]+)", service["image"]), which
        assert service["restart"] == ("no" if which == "migrate" else "unless-stopped")
        assert "healthcheck" in service


def test_only_the_migration_knows_the_owner_of_the_tables() -> None:
    holders = {which for which, service in compose()["services"].items() if "database_owner_url" in service.get("secrets", [])}
    assert holders == {"migrate"}


def test_every_secret_that_is_mounted_is_one_that_make_secrets_writes() -> None:
    script = (ROOT / "deploy/make-secrets").read_text()
    written = set(re.findall(r"^keep ([\w.]+)", script, re.MULTILINE))
    files = {Path(secret["file"]).name for secret in compose()["secrets"].values()}
    assert files <= written
    asked = {
        secret if isinstance(secret, str) else secret["source"]
        for service in compose()["services"].values()
        for secret in service.get("secrets", [])
    }
    assert asked == compose()["secrets"].keys()


def test_what_is_mounted_from_the_repository_is_there() -> None:
    mounted = [
        volume.split(":")[0]
        for service in compose()["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    assert mounted
    assert [path for path in mounted if not (ROOT / path).is_file()] == []


def test_secrets_stay_out_of_the_repository_and_of_the_image() -> None:
    assert {"deploy/secrets/", ".env"} <= set((ROOT / ".gitignore").read_text().split())
    left_out = (ROOT / ".dockerignore").read_text().split()
    assert {".*", "deploy/secrets"} <= set(left_out)
