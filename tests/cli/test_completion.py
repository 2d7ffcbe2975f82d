"""Completion by the shell, and the program as a module."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from equilib.cli import equilib
from equilib.cli.session import Session
from equilib.plugin.registry import Registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Return the installed plugins."""
    return Registry.discover()


@pytest.mark.parametrize(
    ("typed", "incomplete", "expected"),
    [
        ("", "res", ["resume"]),
        ("run", "mnist-n", ["mnist-neural-ode"]),
        ("run mnist", "--dty", ["--dtype"]),
        ("run mnist --dtype", "", ["float32", "float64"]),
        ("run mnist --solver", "newton", ["newton-dense", "newton-gmres"]),
        ("run mnist --solver", "anderson:mem", ["anderson:memory="]),
        ("run mnist --solver", "anderson:memory=3,mix", ["anderson:memory=3,mixing="]),
        ("run mnist --adjoint", "sh", ["shine"]),
        ("run mnist --fallback", "newton-g", ["newton-gmres"]),
        ("run mnist --optimizer", "ada", ["adam"]),
        ("run mnist --solver anderson -o", "mem", ["memory="]),
        ("run mnist -o", "rt", ["rtol="]),
        ("solvers show", "lbr", ["lbroyden"]),
        ("integrators show", "vcab3", ["vcab3"]),
        ("run nothing --solver", "a", []),
        ("run mnist --solver", "nothing:a", []),
    ],
)
def test_the_shell_completes_what_there_is(typed: str, incomplete: str, expected: list[str], registry: Registry):
    """Commands, experiments, flags, names of parts, their options, and options of a solve."""
    words = typed.split()
    session = Session(argv=(), given=registry)
    complete = ShellComplete(equilib, {"obj": session}, "equilib", "_EQUILIB_COMPLETE")
    found = [each.value for each in complete.get_completions(words, incomplete)]
    assert set(expected) <= set(found)
    assert all(each.startswith(incomplete) for each in found)
    assert len(found) <= max(len(expected) + 2, 0)


def test_the_program_is_a_module_and_tells_the_shell_how_to_complete():
    """`python -m equilib` is `equilib`; asked for the script of a shell it prints that and succeeds."""
    environment = {**os.environ, "_EQUILIB_COMPLETE": "bash_source"}
    command = [sys.executable, "-m", "equilib"]
    script = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "_equilib_completion" in script.stdout
    wrong = subprocess.run([*command, "runn"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "Did you mean 'run'?" in wrong.stderr
