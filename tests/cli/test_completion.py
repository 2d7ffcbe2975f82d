"""Completion by the shell, and the program as a module."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

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
        ("run mnist --device", "torch", ["torch", "torch:cuda", "torch:mps"]),
        ("run mnist --device", "j", ["jax"]),
        ("evaluate somewhere --device", "j", ["jax"]),
        ("run mnist --model", "skip", ["skipdeq"]),
        ("run mnist --solver", "newton-gmres:linear_solver=g", ["newton-gmres:linear_solver=gmres"]),
        ("run mnist --solver", "newton-gmres:linear_solver=bicgstab,linear_solver.", []),
        (
            "run mnist --solver",
            "newton-gmres:forcing=0.2,linear_solver=b",
            ["newton-gmres:forcing=0.2,linear_solver=bicgstab"],
        ),
        ("run mnist --solver", "newton-gmres:linear_solver.r", ["newton-gmres:linear_solver.restart="]),
        ("run mnist --solver", "newton-gmres:globalization=l", ["newton-gmres:globalization=line-search"]),
        ("run mnist --solver", "newton-gmres:enlarge=t", ["newton-gmres:enlarge=true"]),
        ("run mnist --solver", "steady:integrator=bs", ["steady:integrator=bs3"]),
        ("run mnist --adjoint", "implicit:linear_solver=g", ["implicit:linear_solver=gmres"]),
        ("run mnist --solver newton-gmres -o", "linear_solver=b", ["linear_solver=bicgstab"]),
        ("run mnist --solver newton-gmres -o", "linear_solver.r", ["linear_solver.restart="]),
        ("run mnist --solver newton-gmres:linear_solver=bicgstab -o", "linear_solver.r", []),
        ("run mnist -o", "criterion=r", ["criterion=residual"]),
        ("run mnist --optimizer", "sgd:nesterov=", ["sgd:nesterov=true", "sgd:nesterov=false"]),
        ("compare mnist --solvers", "pic", ["picard"]),
        ("compare mnist --solvers", "al", ["all"]),
        ("compare mnist --solvers", "picard,al", []),
        ("compare mnist --solvers", "picard,and", ["picard,anderson"]),
        ("compare mnist --solvers", "anderson,picard,and", []),
        ("compare mnist --adjoints", "implicit,sh", ["implicit,shine"]),
        ("compare mnist --solver", "anderson:mem", ["anderson:memory="]),
        ("solvers show", "lbr", ["lbroyden"]),
        ("integrators show", "vcab3", ["vcab3"]),
        ("run nothing --solver", "a", []),
        ("run mnist --solver", "nothing:a", []),
    ],
)
def test_the_shell_completes_what_there_is(typed: str, incomplete: str, expected: list[str], registry: Registry):
    """Commands, experiments, flags, names of parts, their options, the values of these, and lists of names."""
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


def in_bash(folder: Path, typed: str, breaks: str = "\"'><=;|&(:") -> list[str]:
    """Return what bash is told by the function that `equilib` gives it, once a line is typed so far."""
    function = completion_of("bash", folder)
    call = f"""
        source {function}; shopt -s expand_aliases; compopt() {{ :; }}
        COMP_WORDBREAKS=$' \\t\\n'{shlex.quote(breaks)} COMP_LINE={shlex.quote(typed)} COMP_POINT={len(typed)}
        _equilib_completion {folder / "equilib"}; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", call], capture_output=True, text=True, check=True)
    return done.stdout.split()


def completion_of(shell: str, folder: Path) -> Path:
    """Return the script for a shell in a file, and beside it the program that it asks."""
    environment = {**os.environ, "_EQUILIB_COMPLETE": f"{shell}_source"}
    done = subprocess.run(
        [sys.executable, "-m", "equilib"], env=environment, capture_output=True, text=True, check=True
    )
    script, program = folder / "script", folder / "equilib"
    script.write_text(done.stdout)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m equilib "$@"\n')
    program.chmod(0o755)
    return script


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("equilib run mnist --solver ander", ["anderson"]),
        ("equilib run mnist --solver anderson:mem", ["memory="]),
        ("equilib run mnist --solver anderson:memory=3,mix", ["3,mixing="]),
        ("equilib run mnist --solver newton-gmres:linear_solver=b", ["bicgstab"]),
        ("equilib run mnist --solver=anderson:mem", ["memory="]),
        ("equilib run mnist --device torch:c", ["cuda"]),
        ("equilib compare mnist --solvers picard,ander", ["picard,anderson"]),
        ("equilib run mnist --dtype ", ["float32", "float64"]),
    ],
)
def test_bash_gets_the_piece_that_it_completes(tmp_path: Path, typed: str, expected: list[str]):
    """A word ends for bash at each colon and equals sign; what it is given follows the last one."""
    assert in_bash(tmp_path, typed) == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_gets_whole_words_where_nothing_breaks_them(tmp_path: Path):
    """Who took the colon and the equals sign out of COMP_WORDBREAKS is given all of the word."""
    assert in_bash(tmp_path, "equilib run mnist --solver anderson:mem", breaks="") == ["anderson:memory="]


def test_zsh_and_fish_are_given_scripts_of_ours(tmp_path: Path):
    """That of zsh sets no space after an option that waits for a value, that of fish takes values with commas."""
    assert "compadd -U -V unsorted -S ''" in completion_of("zsh", tmp_path).read_text()
    assert 'string split --max 1 ","' in completion_of("fish", tmp_path).read_text()
