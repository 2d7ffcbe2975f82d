"""What ends a command is one sentence that names the plugin, the file or the memory; a switch shows the traceback."""

from __future__ import annotations

import io
import sys
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import pytest

from equilib import Picard
from equilib.cli import main
from equilib.cli.failures import TRACEBACK, told
from equilib.cli.session import Session
from equilib.plugin import ExperimentEntry, SolverEntry, hookimpl
from equilib.plugin.registry import Registry


class SpeechlessError(Exception):
    """An exception that cannot be asked what it says."""

    def __str__(self) -> str:
        raise ValueError("no words")


class HarshError(BaseException):
    """One that `except Exception` lets through."""


def raising(error: BaseException) -> Callable[[], NoReturn]:
    """Return what raises an error when it is called."""

    def act() -> NoReturn:
        raise error

    return act


def noted(error: Exception, note: str) -> Exception:
    """Return the error with a note."""
    error.add_note(note)
    return error


@dataclass(frozen=True)
class Failing:
    """An experiment whose recipe fails."""

    act: ClassVar[Callable[[], Any]]

    def make_recipe(self) -> Any:
        """Fail."""
        return type(self).act()

    def load_data(self, context: Any) -> Any:
        """Never come so far."""


def registry(act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return the experiment `failing` of a third party, in a module of its own."""
    module = types.ModuleType("unlucky_plugin")
    source = "def make_recipe(self):\n    return self.act()\n"
    exec(compile(source, "unlucky_plugin.py", "exec"), vars(module))
    experiment = type("Failing", (Failing,), {"make_recipe": vars(module)["make_recipe"], "act": staticmethod(act)})
    experiment.__module__ = module.__name__
    vars(module)["Failing"] = dataclass(frozen=True)(experiment)
    monkeypatch.setitem(sys.modules, module.__name__, module)

    class Plugin:
        @hookimpl
        def equilib_experiments(self) -> list[ExperimentEntry]:
            """Yield it."""
            return [ExperimentEntry(name="failing", factory="unlucky_plugin:Failing", summary="Fail")]

    found = Registry()
    found.register(Plugin(), name="unlucky", distribution="unlucky-plugin", version="0.3")
    return found


BLAMED = "plugin 'unlucky' (unlucky-plugin 0.3) failed: "
ENDS = [
    (ValueError("the moon is full"), 1, f"{BLAMED}ValueError: the moon is full; report it to its authors"),
    (noted(KeyError("x"), "given z"), 1, f"{BLAMED}KeyError: 'x' (given z); report"),
    (SpeechlessError(), 1, f"{BLAMED}SpeechlessError; report"),
    (HarshError("stop"), 1, f"{BLAMED}HarshError: stop; report"),
    (SystemExit(0), 1, f"{BLAMED}it called sys.exit(0); report"),
    (EOFError("no more"), 1, "something that was read ended early: no more"),
    (RecursionError("too deep"), 1, f"{BLAMED}RecursionError: too deep"),
    (MemoryError("Unable to allocate 7 TiB"), 1, "the memory does not suffice (Unable to allocate 7 TiB); take a"),
    (OSError(28, "No space left on device", "run.json"), 1, "run.json: No space left on device"),
    (OSError(28, "No space left on device"), 1, f"{BLAMED}OSError: [Errno 28] No space left on device; report"),
    (ValueError("two\nlines \x1b[2J"), 1, f"{BLAMED}ValueError: two lines \\x1b[2J; report"),
]


@pytest.mark.parametrize(("error", "status", "sentence"), ENDS, ids=lambda each: type(each).__name__)
def test_whatever_a_plugin_raises_is_one_sentence(
    error: BaseException,
    status: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exceptions of every kind end with the plugin's name and the next step, never with a traceback or status 0."""
    assert main(["run", "failing"], registry=registry(raising(error), monkeypatch)) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


def test_what_a_plugin_returns_is_blamed_on_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its result fails in our code the sentence names what of it was in use."""
    assert main(["run", "failing"], registry=registry(lambda: 3, monkeypatch)) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: the experiment 'failing' of plugin 'unlucky' (unlucky-plugin 0.3) does not fit: ")
    assert err.count("\n") == 1


class Leaving(Picard):
    """A solver that ends the program at its first step, as if all were well."""

    def step(self, f: Any, state: Any) -> Any:
        """Leave."""
        sys.exit(0)


class Unready(Picard):
    """One that cannot even be made."""

    def __init__(self) -> None:
        sys.exit(0)


CHECKED = [(Picard, 0, "0 failed"), (Leaving, 1, "SystemExit: 0"), (Unready, 1, "sys.exit(0)")]


@pytest.mark.parametrize(("factory", "status", "evidence"), CHECKED)
def test_a_check_ends_as_its_findings_say(
    factory: type, status: int, evidence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`equilib check` exits with 0 for a solver that keeps its contract, and never because the solver says so."""

    class Plugin:
        @hookimpl
        def equilib_solvers(self) -> list[SolverEntry]:
            """Yield it."""
            return [SolverEntry(name="theirs", factory=factory, summary="Iterate")]

    found = Registry.discover()
    found.register(Plugin(), name="p", distribution="their-plugin")
    assert main(["check", "theirs"], registry=found) == status
    assert evidence in "".join(capsys.readouterr())


def test_a_thread_of_a_plugin_fails_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends no command, and shows no traceback."""

    def act() -> NoReturn:
        thread = threading.Thread(target=raising(ValueError("in a thread")))
        thread.start()
        thread.join()
        raise ValueError("moon")

    assert main(["run", "failing"], registry=registry(act, monkeypatch)) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"warning: a thread of module {__name__!r} failed: ValueError: in a thread"
    assert second.startswith(f"error: {BLAMED}ValueError: moon")


@pytest.mark.parametrize("stream", ["None", "3", "closed"])
def test_a_sentence_is_said_whatever_a_plugin_does_to_the_streams(
    stream: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that it replaced is put back, and one that it closed is passed by."""
    if stream == "closed":
        monkeypatch.setattr(sys, "stderr", io.StringIO())

    def act() -> NoReturn:
        if stream == "closed":
            sys.stderr.close()
        else:
            sys.stdout = sys.stderr = None if stream == "None" else 3  # type: ignore[assignment]
        raise ValueError("moon")

    assert main(["run", "failing"], registry=registry(act, monkeypatch)) == 1
    assert f"error: {BLAMED}ValueError: moon" in capfd.readouterr().err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_switch_shows_the_traceback(
    how: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--traceback` or EQUILIB_TRACEBACK=1 the sentence follows the traceback, a user's mistake's too."""
    argv = ["--traceback"] if how == "option" else []
    monkeypatch.setenv(TRACEBACK, "0" if how == "option" else "1")
    assert main([*argv, "run", "failing"], registry=registry(raising(ValueError("moon")), monkeypatch)) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last)")
    assert err.splitlines()[-1].startswith(f"error: {BLAMED}ValueError: moon")
    assert main([*argv, "run", "nothing"], registry=registry(raising(ValueError()), monkeypatch)) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_mistake_of_ours_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no plugin was at work the sentence blames none."""
    monkeypatch.setattr("equilib.cli.doctor.gpu", raising(ZeroDivisionError("division by zero")))
    assert main(["doctor"], registry=Registry()) == 1
    sentence = "error: equilib failed: ZeroDivisionError: division by zero; report it with the traceback, which "
    assert capsys.readouterr().err == f"{sentence}{TRACEBACK}=1 shows\n"


@pytest.mark.parametrize(
    "cause", ["libopenblas.so: failed to map segment from shared object", "libm.so: Cannot allocate memory"]
)
def test_a_library_without_memory_for_its_code_is_no_fault_of_ours(cause: str) -> None:
    """Where a limit of memory is met while something is imported, the sentence is that about memory."""
    sentence, status = told(ImportError(cause), Session(argv=()))
    assert sentence.startswith(f"the memory does not suffice ({cause}); ")
    assert status == 1
