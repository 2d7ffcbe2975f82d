"""What a record says about where it was made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from equilib.machine import environment
from equilib.machine.blas import numpy_blas
from equilib.machine.cores import available_cores
from equilib.machine.environment import describe_environment, git_state


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, as nobody in particular."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository that holds, committed, the module which describes the environment."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    file = tmp_path / "environment.py"
    file.touch()
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "environment.py")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    monkeypatch.setattr(environment, "__file__", str(file))
    return tmp_path


def test_the_environment_is_plain_and_names_versions() -> None:
    """It is JSON, with the versions of equilib, of what it stands on and of Python; absent packages are left out."""
    described = describe_environment()
    assert json.loads(json.dumps(described)) == described
    assert described["versions"]["equilib"] == version("equilib")
    assert described["versions"]["numpy"] == version("numpy")
    assert None not in described["versions"].values()
    assert described["python"] == ".".join(map(str, sys.version_info[:3]))
    assert described["platform"]
    assert described["blas"] == numpy_blas().describe() | {"cores": available_cores()}


def test_a_checkout_is_named_by_its_commit(checkout: Path) -> None:
    """The commit is recorded, and whether files differ from it."""
    commit = git(checkout, "rev-parse", "HEAD")
    assert git_state() == {"commit": commit, "dirty": False}
    (checkout / "environment.py").write_text("changed")
    assert git_state() == {"commit": commit, "dirty": True}


def test_an_environment_inside_somebody_elses_checkout_is_not_ours(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An equilib installed into a folder that git does not track has no git state: that commit is not its own."""
    (checkout / "venv").mkdir()
    (checkout / "venv" / "environment.py").touch()
    monkeypatch.setattr(environment, "__file__", str(checkout / "venv" / "environment.py"))
    assert git_state() is None


@pytest.mark.parametrize("path", ["", "/nowhere"], ids=["no git", "no path"])
def test_without_git_there_is_no_git_state(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A missing program is no error."""
    monkeypatch.setenv("PATH", path)
    assert git_state() is None


def test_outside_a_checkout_there_is_no_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that no repository holds has none."""
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    assert git_state() is None
