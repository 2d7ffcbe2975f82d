"""What a terminal shows fits into it: lists, descriptions, helps, of all that is installed."""

from __future__ import annotations

import sys

import pytest

from equilib.cli import main
from equilib.cli.program import equilib
from equilib.plugin import HOOKS, ExperimentEntry
from equilib.plugin.registry import Registry

REGISTRY = Registry.discover()
SHOWN = [(kind.plural, "show", each.entry.name) for kind in HOOKS.values() for each in REGISTRY.provided(kind)]
HELPS = [
    *((name, "--help") for name in equilib.commands),
    *(("run", each.entry.name, "--help") for each in REGISTRY.provided(ExperimentEntry)),
]
COMMANDS = [("--help",), ("plugins",), *((kind.plural,) for kind in HOOKS.values()), *SHOWN, *HELPS]


def printed(capsys: pytest.CaptureFixture[str], *argv: str, terminal: bool = True) -> str:
    """Return what a command prints on a terminal, or into a pipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: terminal)
        assert main(list(argv), registry=REGISTRY) == 0
    return capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_what_is_listed_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    """No line of a list, of what `show` tells, or of a help is wider than sixty columns."""
    monkeypatch.setenv("COLUMNS", "60")
    assert not [each for each in printed(capsys, *argv).splitlines() if len(each) > 60]


def test_what_is_to_be_typed_is_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that fits the terminal is not broken at its hyphens, and a pipe gets whole lines."""
    monkeypatch.setenv("COLUMNS", "60")
    shown = printed(capsys, "linear-solvers", "show", "bicgstab")
    use = shown.partition("Use: ")[2]
    assert use.splitlines() == [
        "--solver newton-gmres:linear_solver=bicgstab, its",
        "options as linear_solver.OPTION=VALUE",
    ]
    whole = printed(capsys, "linear-solvers", "show", "bicgstab", terminal=False)
    assert f"Use: {' '.join(use.split())}" in whole.splitlines()
