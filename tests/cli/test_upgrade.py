"""A plugin that changes after a run: what goes on with the run keeps its method, or says in a sentence what lacks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from equilib import Picard
from equilib.cli import main
from equilib.options import option
from equilib.plugin import SolverEntry, hookimpl
from equilib.plugin.registry import Registry


@dataclass(frozen=True)
class Theirs(Picard):
    """A solver of a third party, with an option of its own."""

    patience: int = option(3, help="what it was called in the first version", minimum=1)


@dataclass(frozen=True)
class Later(Picard):
    """The same, another value being usual by now."""

    patience: int = option(7, help="what it was called in the first version", minimum=1)


@dataclass(frozen=True)
class Bounded(Picard):
    """The same, and small values are refused by now."""

    patience: int = option(7, help="what it was called in the first version", minimum=5)


@dataclass(frozen=True)
class More(Theirs):
    """The same, with one more option."""

    haste: float = option(0.5, help="what is new", minimum=0.0)


@dataclass(frozen=True)
class Without(Picard):
    """The same without its option."""


@dataclass(frozen=True)
class Other(Picard):
    """The same, but its option is of another kind."""

    patience: bool = option(False, help="whether it is patient")


@dataclass(frozen=True)
class Failing(Theirs):
    """One that cannot be made any more."""

    def __post_init__(self) -> None:
        """Look for what is gone."""
        raise OSError("libtheirs.so.2 is gone")


def plugins(factory: Any, *, name: str = "theirs", version: str = "2.0", unavailable: str = "") -> Registry:
    """Return the installed plugins, and one of a third party in this version."""

    class Plugin:
        @hookimpl
        def equilib_solvers(self) -> Iterable[SolverEntry]:
            yield SolverEntry(name=name, factory=factory, summary="Theirs", unavailable=unavailable)

    found = Registry.discover()
    found.register(Plugin(), name="theirs", distribution="theirs-solvers", version=version)
    return found


LINE = ("run", "linear", "--quiet", "--device", "cpu", "--solver", "theirs")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two epochs by the first version."""
    place = tmp_path_factory.mktemp("trained")
    argv = [*LINE, "--epochs", "2", "--out", str(place / "run")]
    assert main(argv, registry=plugins(Theirs, version="1.0")) == 0
    return place


KEEPS = {"another default": Later, "one option more": More, "as it was": Theirs}
LACKS: dict[str, tuple[Callable[[], Registry], str]] = {
    "renamed": (lambda: plugins(Theirs, name="ours"), "no solver 'theirs'"),
    "gone": (Registry.discover, "no solver 'theirs'"),
    "not here": (lambda: plugins(Theirs, unavailable="install theirs"), "install theirs"),
    "an option less": (lambda: plugins(Without), "solver 'theirs' has no option 'patience'"),
    "an option of another kind": (lambda: plugins(Other), "option 'patience' expects"),
    "other bounds": (lambda: plugins(Bounded), "option 'patience' expects an int >= 5, got '3'"),
    "not to be made": (lambda: plugins(Failing), "libtheirs.so.2 is gone"),
    "its class gone": (lambda: plugins("tests.cli.test_upgrade:Gone"), "Gone"),
}


@pytest.mark.parametrize("change", KEEPS)
def test_a_run_keeps_its_options(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """Options that are new, or have another default, do not touch what was recorded."""
    shutil.copytree(trained / "run", tmp_path / "run")
    registry = plugins(KEEPS[change])
    assert main(["resume", str(tmp_path / "run"), "--epochs", "4"], registry=registry) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["method"]["solver"]["options"]["patience"] == 3
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run")], registry=registry) == 0
    assert "the same" in capsys.readouterr().out


@pytest.mark.parametrize("command", [("resume", "--epochs", "4"), ("evaluate",), ("report",)], ids=lambda each: each[0])
@pytest.mark.parametrize("change", LACKS)
def test_what_a_run_lacks_is_named(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, command: tuple[str, ...]
) -> None:
    """Where its solver cannot be made again, one sentence says so; nothing is computed by others, or changed."""
    shutil.copytree(trained / "run", tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    registry, sentence = LACKS[change]
    status = main([command[0], str(tmp_path / "run"), *command[1:]], registry=registry())
    out, err = capsys.readouterr()
    if status == 0:  # a report, which shows what is recorded, and names what is missing on the page
        assert (command[0], err) == ("report", "")
        assert sentence in out
    else:
        assert status in (1, 2)
        assert sentence in err
        assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before
