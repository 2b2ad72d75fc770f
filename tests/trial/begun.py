"""A trial that was seeded: the first time for real, after that its rows and its files are put back as they were."""

from __future__ import annotations

from pathlib import Path

from tests import again
from trial.estate import Estate
from trial.seed import seed

_files: dict[str, tuple[Path, str, dict[str, tuple[bytes, int]]]] = {}


def begun(home: Path, url: str, estate: Estate) -> None:
    """As `seed(home, url=url, estate=estate)` in an empty database leaves it."""
    if again.scene(("trial", estate.dsn), lambda: seed(home, url=url, estate=estate)):
        written = {path.relative_to(home): path for path in sorted(home.rglob("*")) if path.is_file()}
        _files.setdefault(estate.dsn, (home, url, {str(at): (path.read_bytes(), path.stat().st_mode) for at, path in written.items()}))
        return
    first, its_url, files = _files[estate.dsn]
    for relative, (content, mode) in files.items():
        path = home / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode)
        path.write_bytes(content.replace(str(first).encode(), str(home).encode()).replace(its_url.encode(), url.encode()))
