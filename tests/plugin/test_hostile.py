"""Where packages are broken, ours or anybody's, every command goes on, and each broken one is named once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hostile import BROKEN, DAMAGED, MODULES, write_environment
from tests.programs import equilib


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder of broken packages, for PYTHONPATH."""
    return str(write_environment(tmp_path_factory.mktemp("hostile")))


def test_there_are_twenty_of_them() -> None:
    """The environment is as hostile as it claims to be."""
    assert len(BROKEN) >= 20


def test_help_needs_no_plugin(hostile: str, tmp_path: Path) -> None:
    """It is printed, and nothing is said of plugins."""
    done = equilib("--help", cwd=tmp_path, PYTHONPATH=hostile)
    assert (done.returncode, done.stderr) == (0, "")


def test_lists_are_json_and_warnings_name_each_once(hostile: str, tmp_path: Path) -> None:
    """What plugins print at import is no part of standard output; each that is left out has one line."""
    done = equilib("solvers", "--json", cwd=tmp_path, PYTHONPATH=hostile)
    assert done.returncode == 0
    names = {record["name"] for record in json.loads(done.stdout)}
    assert {"chatty", "closer", "picard"} <= names
    assert "newton-gmres" not in names
    lines = done.stderr.splitlines()
    for name in (*MODULES, "no-equals", "latin", "no-value", "no-file"):
        assert sum(f"hostile-{name}" in line or f"hostile_{name.replace('-', '_')}-" in line for line in lines) == 1
    assert not any("metadata" in line for line in lines)
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("argv", [("plugins", "--json"), ("doctor", "--json")], ids=" ".join)
def test_the_whole_of_the_damage_is_listed(hostile: str, tmp_path: Path, argv: tuple[str, ...]) -> None:
    """`plugins` and `doctor` name the file of each damaged package and the cause of each broken plugin, once."""
    done = equilib(*argv, cwd=tmp_path, PYTHONPATH=hostile)
    assert done.returncode == (argv[0] == "doctor")
    found = json.loads(done.stdout)
    rows = [json.dumps(each) for each in (found if argv[0] == "plugins" else found["findings"])]
    for name in MODULES:
        assert sum(f"hostile-{name}" in row and "broken" in row for row in rows) == 1, name
    for name, files in DAMAGED.items():
        place = f"hostile_{name.replace('-', '_')}-1.0.dist-info/{next(iter(files))}"
        assert sum(place in row for row in rows) == 1, name


def test_a_run_goes_on(hostile: str, tmp_path: Path) -> None:
    """With a solver whose name nobody else has, or with one that says whose it is."""
    argv = ("run", "linear@equilib", "--epochs", "1", "--quiet", "--solver", "newton-gmres@equilib", "--out", "run")
    done = equilib(*argv, cwd=tmp_path, PYTHONPATH=hostile)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert (record["experiment"], record["method"]["solver"]["name"]) == ("linear@equilib", "newton-gmres@equilib")
    assert not any("hostile" in package for package in record["versions"])
    assert equilib("resume", "run", "--epochs", "2", cwd=tmp_path, PYTHONPATH=hostile).returncode == 0
    off = equilib("solvers", "--json", cwd=tmp_path, PYTHONPATH=hostile, EQUILIB_PLUGINS="-rival")
    assert "newton-gmres" in {each["name"] for each in json.loads(off.stdout)}
