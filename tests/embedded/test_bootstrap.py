"""The two commands' first step: which environment satisfies whom, and what a machine without the makings is told."""

from __future__ import annotations

import importlib.util
import json
import subprocess

import pytest

from embedded.places import ROOT


@pytest.fixture
def bootstrap(tmp_path, monkeypatch):
    """script/bootstrap.py, working in a folder of its own."""
    plan = importlib.util.spec_from_file_location("bootstrap_under_test", ROOT / "script" / "bootstrap.py")
    assert plan is not None
    assert plan.loader is not None
    module = importlib.util.module_from_spec(plan)
    plan.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    for name, folder in (("VENV", ".venv"), ("PART", ".venv.part"), ("OLD", ".venv.old")):
        monkeypatch.setattr(module, name, tmp_path / folder)
    locks = {name: tmp_path / f"{name}.txt" for name in ("trial", "dev")}
    for name, lock in locks.items():
        lock.write_text(f"# {name}\n")
    monkeypatch.setattr(module, "LOCKS", locks)
    return module


def install(bootstrap, name):
    (bootstrap.VENV / "bin").mkdir(parents=True)
    (bootstrap.VENV / "bin" / "python").touch()
    (bootstrap.VENV / "holdfast.json").write_text(json.dumps({"lock": name, "digest": bootstrap.digest(name)}))


@pytest.mark.parametrize(
    ("installed", "wanted", "built"),
    [("trial", "trial", []), ("dev", "trial", []), ("dev", "dev", []), ("trial", "dev", ["dev"])],
)
def test_an_environment_is_built_only_when_something_is_missing(bootstrap, monkeypatch, installed, wanted, built):
    install(bootstrap, installed)
    asked: list[str] = []
    monkeypatch.setattr(bootstrap, "build", asked.append)
    assert bootstrap.environment(wanted) == bootstrap.VENV / "bin" / "python"
    assert asked == built


def test_a_changed_lock_makes_a_new_environment(bootstrap, monkeypatch):
    install(bootstrap, "trial")
    bootstrap.LOCKS["trial"].write_text("# trial, one version later\n")
    asked: list[str] = []
    monkeypatch.setattr(bootstrap, "build", asked.append)
    bootstrap.environment("trial")
    assert asked == ["trial"]


def test_half_an_environment_never_takes_the_place_of_a_whole_one(bootstrap, monkeypatch):
    install(bootstrap, "trial")

    def break_off(*_):
        (bootstrap.PART / "bin").mkdir(parents=True)
        raise bootstrap.Trouble("the network is down")

    monkeypatch.setattr(bootstrap, "make_empty_one", break_off)
    with pytest.raises(bootstrap.Trouble):
        bootstrap.environment("dev")
    assert bootstrap.stamp() == {"lock": "trial", "digest": bootstrap.digest("trial")}


def test_commands_name_the_place_where_they_end_up(bootstrap):
    (bootstrap.PART / "bin").mkdir(parents=True)
    command = bootstrap.PART / "bin" / "tool"
    command.write_text(f"#!{bootstrap.PART}/bin/python\n")
    bootstrap.name_the_final_place()
    assert command.read_text() == f"#!{bootstrap.VENV}/bin/python\n"


def test_a_machine_that_cannot_make_environments_is_told_which_package_to_install(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap.os, "geteuid", lambda: 1000)
    with pytest.raises(bootstrap.Trouble, match=r"sudo apt-get install python3\.1[123]-venv"):
        bootstrap.install_venv_package()


@pytest.mark.parametrize("words", [["--home", "a/b", "--empty"], ["--home=a/b", "--empty"]])
def test_home_counts_from_where_the_command_was_typed(bootstrap, monkeypatch, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    assert f"{tmp_path}/a/b" in " ".join(bootstrap.absolute_home(words)).replace("=", " ").split()


def test_an_unfit_python_is_named_in_a_sentence(tmp_path):
    """`/bin/sh` finds no Python on this path, and says what is needed."""
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    ended = subprocess.run(["/bin/sh", ROOT / "script" / "up"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("script/up: Holdfast needs Python 3.11, 3.12 or 3.13")
