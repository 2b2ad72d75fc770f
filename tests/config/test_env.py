"""The environment is read by name, from a value or from a file, and complaints name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import env


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from the file\n")
    monkeypatch.setenv("HF_SAMPLE_FILE", str(tmp_path / "key"))
    assert env.text("HF_SAMPLE") == "from the file"


def test_the_variable_itself_wins_over_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from the file")
    monkeypatch.setenv("HF_SAMPLE_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("HF_SAMPLE", "said directly")
    assert env.text("HF_SAMPLE") == "said directly"


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_SAMPLE_FILE", str(tmp_path / "gone"))
    with pytest.raises(env.BadEnvironment, match="HF_SAMPLE_FILE names a file that cannot be read"):
        env.text("HF_SAMPLE", "a default that must not hide it")


@pytest.mark.parametrize(
    ("read", "value", "complaint"),
    [
        (env.text, None, "is not set"),
        (env.flag, "perhaps", "is 'perhaps'; it must be 1 or 0"),
        (lambda name: env.number(name, 1), "many", "is 'many'; it must be a whole number"),
        (env.key, "c2hvcnQ=", "holds 5 bytes; it must hold 32"),
        (env.database, "mysql://somewhere/x", "must begin with postgresql://"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_variable(monkeypatch: pytest.MonkeyPatch, read, value, complaint) -> None:
    monkeypatch.delenv("HF_SAMPLE", raising=False)
    if value is not None:
        monkeypatch.setenv("HF_SAMPLE", value)
    with pytest.raises(env.BadEnvironment, match=f"The environment variable HF_SAMPLE {complaint}"):
        read("HF_SAMPLE")


def test_a_database_is_read_with_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SAMPLE", "postgresql://ab%40c:p%2Fw@db.internal:6432/holdfast?sslmode=verify-full")
    entry = env.database("HF_SAMPLE")
    assert (entry["USER"], entry["PASSWORD"], entry["HOST"], entry["PORT"], entry["NAME"]) == (
        "ab@c",
        "p/w",
        "db.internal",
        "6432",
        "holdfast",
    )
    assert entry["OPTIONS"] == {"sslmode": "verify-full"}
