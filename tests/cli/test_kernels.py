"""`equilib kernels` and `--kernels`: what computes, why, and how it is chosen and recorded."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from equilib.cli import main
from equilib.kernels import Kernel, using_kernels
from equilib.options import option
from equilib.plugin import KernelEntry, hookimpl
from equilib.plugin.registry import Registry
from equilib.runs.request import FLAGS


@dataclass(frozen=True)
class Fast:
    """Kernels that NumPy has."""

    level: int = option(1, help="try so hard, 9 to fail", minimum=1)

    def kernels(self) -> Iterable[Kernel]:
        """Yield two for one operation, and one for no operation."""
        known = {"about": "NumPy's own", "applies": lambda *args: True, "load": lambda: np.tanh}
        if self.level == 9:
            yield Kernel(operation="dot", name="broken", **(known | {"load": "no_such_library:load"}))
        yield Kernel(operation="tanh", name="slow", **known)
        yield Kernel(operation="tanh", name="quick", priority=5, seconds=(1.5, 0.1), dtypes=("float32",), **known)
        yield Kernel(operation="tanhh", name="odd", **known)


class Plugin:
    """Two families, one of which cannot be used here."""

    @hookimpl
    def equilib_kernels(self) -> Iterable[KernelEntry]:
        """Yield both."""
        yield KernelEntry(name="fast", factory=Fast, summary="Fast kernels", advice="Take them.")
        yield KernelEntry(name="gone", factory="nowhere:Gone", summary="", unavailable="install gone")


@pytest.fixture
def registry() -> Iterator[Registry]:
    """Return a registry of these; what the process uses comes back."""
    found = Registry.discover()
    found.register(Plugin(), name="p", distribution="fast-kernels", version="3.0")
    with using_kernels("auto"):
        yield found


def listed(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, str]]:
    """Return operation, name and reason of what was listed."""
    found = [each for each in json.loads(capsys.readouterr().out) if each["family"] == "fast"]
    return [(each["operation"], each["name"], each["reason"]) for each in found]


def test_kernels_are_listed_in_the_order_in_which_they_are_asked(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has its operation, arrays, cost, and when or why not it is used; what is not here says why."""
    assert main(["kernels", "--json"], registry=registry) == 0
    assert listed(capsys) == [
        ("tanh", "quick", ""),
        ("tanh", "slow", ""),
        ("tanhh", "odd", "there is no such operation"),
    ]
    assert main(["kernels"], registry=registry) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "tanhh fast/odd numpy.ndarray float32 float64 - there is no such operation" in out
    assert "gone cannot be used here: install gone" in out
    with using_kernels("none"):
        assert main(["kernels", "show", "tanh", "--json"], registry=registry) == 0
    assert listed(capsys) == [(*each, "off, by the choice of none") for each in (("tanh", "quick"), ("tanh", "slow"))]


@dataclass(frozen=True)
class Twin:
    """As urgent as the other family, and something for arrays of a library that is not here."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield both."""
        known = {"operation": "tanh", "applies": lambda *args: True, "load": lambda: np.tanh}
        yield Kernel(name="same", about="The same", priority=5, **known)
        yield Kernel(name="other", about="Others", array="no_such_library.Tensor", **known)
        yield Kernel(name="many", about="Many launches", array="cupy.ndarray", device="cuda", **known)


@dataclass(frozen=True)
class Broken:
    """A family whose library is not there."""

    def kernels(self) -> Iterable[Kernel]:
        """Import it."""
        raise ImportError("libfast.so.3 is not there")


class Others:
    """Two more families."""

    @hookimpl
    def equilib_kernels(self) -> Iterable[KernelEntry]:
        """Yield both."""
        yield KernelEntry(name="twin", factory=Twin, summary="")
        yield KernelEntry(name="broken", factory=Broken, summary="")


@pytest.fixture
def others() -> Iterator[Registry]:
    """Return a registry of nothing but these families."""
    found = Registry()
    found.register(Plugin(), name="p", distribution="fast-kernels", version="3.0")
    found.register(Others(), name="q", distribution="other-kernels", version="4.0")
    with using_kernels("auto"):
        yield found


def test_the_list_says_which_computes_a_call_and_why(
    others: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one type follow each other by priority and name, and the rule is there; others have a reason."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert main(["kernels", "show", "tanh"], registry=others) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:5] == [
        "tanh fast/quick numpy.ndarray float32 1.5 s, then 0.1 s yes (priority 5): NumPy's own",
        "tanh twin/same numpy.ndarray float32 float64 - where no fast/quick applies (priority 5): The same",
        "tanh fast/slow numpy.ndarray float32 float64 - "
        "where no fast/quick or twin/same applies (priority 0): NumPy's own",
        "tanh twin/many cupy.ndarray float32 float64 - no cupy.ndarray can be made here",
    ]
    assert lines[6] == (
        "Of those that apply to a call the first listed computes it: the one of the highest priority, of equals the "
        "first by family and name."
    )
    assert "no cupy.ndarray can be made here: --device cuda needs CuPy, which cannot be imported" in lines[8]
    assert "no no_such_library.Tensor can be made here: no_such_library is not installed" in lines


def test_a_family_that_is_broken_is_a_sentence(
    others: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the package, the error and the next step; doctor counts it among what is broken."""
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    sentence = (
        "kernels 'broken' of the package other-kernels 4.0 cannot be used (it raised ImportError: libfast.so.3 is not "
        "there); repair or uninstall it, or do without: --kernels none, or EQUILIB_KERNELS=none"
    )
    assert main(["kernels"], registry=others) == 0
    assert capsys.readouterr().err == f"warning: {sentence}; formulas stand in for them\n"
    assert main(["doctor", "--json"], registry=others) == 1
    written = capsys.readouterr()
    assert written.err == ""
    (found,) = [each for each in json.loads(written.out)["findings"] if each["state"] == "broken"]
    assert found["about"] == "kernels broken"
    assert found["found"] == "other-kernels 4.0: it raised ImportError: libfast.so.3 is not there"
    assert found["next_step"] == "repair or uninstall it"
    monkeypatch.setenv("EQUILIB_KERNELS", "broken")
    with using_kernels("none"):
        monkeypatch.setattr("equilib.kernels.selection._choice", None)
        assert main(["kernels"], registry=others) == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_a_family_or_an_operation_is_shown(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    """A family has its options and how it is chosen; an unknown name a suggestion."""
    assert main(["kernels", "show", "fast"], registry=registry) == 0
    out = capsys.readouterr().out
    assert "fast: Fast kernels" in out
    assert "Use: --kernels fast or --kernels fast:OPTION=VALUE" in out
    assert main(["kernels", "show", "tahn"], registry=registry) == 2
    assert "no kernels or operation 'tahn'. Did you mean 'tanh'?" in capsys.readouterr().err
    assert main(["kernels", "show", "sum"], registry=Registry()) == 0
    assert capsys.readouterr().out == "No kernel of sum is here: the formula computes every call.\n"
    assert main(["kernels"], registry=Registry()) == 0
    assert 'pip install "equilib[fast]"' in capsys.readouterr().out


def test_a_run_records_its_kernels(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was asked for, and the families in use with their packages; a resumption notes what changed."""
    out = tmp_path / "run"
    arguments = ["run", "linear", "--epochs", "1", "--quiet", "--out", str(out)]
    assert main([*arguments, "--kernels", "fast:level=2"], registry=registry) == 0
    record = json.loads((out / "run.json").read_text())
    assert record["request"]["kernels"] == "fast:level=2"
    assert record["kernels"] == {"fast": "fast-kernels 3.0"}
    assert main(["resume", str(out), "--epochs", "2", "--kernels", "none"], registry=registry) == 0
    assert "Note: kernels was {'fast': 'fast-kernels 3.0'}, is {}" in capsys.readouterr().out
    assert main([*arguments, "--overwrite", "--kernels", "none"], registry=registry) == 0
    record = json.loads((out / "run.json").read_text())
    assert record["request"]["kernels"] == "none"
    assert record["kernels"] == {}
    assert main([*arguments, "--overwrite", "--kernels", "fsat"], registry=registry) == 2
    assert "no kernels 'fsat'. Did you mean 'fast'?" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--kernels", "gone"], registry=registry) == 2
    assert "kernels 'gone' cannot be used here: install gone" in capsys.readouterr().err


def test_a_run_whose_kernels_are_not_here_says_how_to_go_on(
    registry: Registry, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The package that is missing is named, and what goes on without it, which does."""
    run, inputs, bare = str(tmp_path / "run"), str(tmp_path / "inputs.npy"), Registry.discover()
    np.save(inputs, np.zeros((1, 1), "float32"))
    made = ["run", "linear", "--epochs", "1", "--quiet", "--out", run, "--kernels", "fast:level=2"]
    assert main(made, registry=registry) == 0
    capsys.readouterr()
    for arguments in (["evaluate", run], ["predict", run, inputs], ["resume", run, "--epochs", "2"]):
        assert main(arguments, registry=bare) == 2
        told = capsys.readouterr().err
        assert told.startswith(
            f"error: the run in {run} used the kernels 'fast:level=2' of the package fast-kernels 3.0, not installed "
            "here; install it, or go on with --kernels none"
        )
        assert told.endswith("which is the same but for rounding\n")
        assert main([*arguments, "--kernels", "none"], registry=bare) == 0
        capsys.readouterr()


def test_kernels_are_checked(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    """`equilib check` holds a family to the formulas."""
    assert main(["check", "fast", "--json"], registry=registry) == 1
    found = {each["check"]: each["status"] for each in json.loads(capsys.readouterr().out)}
    assert {name for name, status in found.items() if status == "failed"} == {"names_operations"}


@pytest.mark.parametrize("flag", ["solver", "adjoint", "optimizer", "kernels"])
def test_none_is_a_name(flag: str) -> None:
    """Where a name is asked for, "none" is looked up as every other, and not taken for the default."""
    (found,) = [each for each in FLAGS if each.name == flag]
    assert found.parse("none") == "none"


def test_a_kernel_that_fails_in_a_run_is_one_line(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run goes on with the formula, and says so once, among its other lines."""
    arguments = ["run", "linear", "--epochs", "1", "--out", str(tmp_path / "run"), "--batch-size", "1000"]
    with using_kernels("none", all_sizes=True):
        assert main([*arguments, "--kernels", "fast:level=9"], registry=registry) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "broken" in line]
    assert len(lines) == 1
    assert "Warning: kernel fast/broken of dot (fast-kernels 3.0) failed (ModuleNotFoundError" in lines[0]


@dataclass(frozen=True)
class Elsewhere:
    """A kernel for numbers that no run computes with."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield it."""
        known = {"applies": lambda *args: True, "load": lambda: np.tanh}
        yield Kernel(operation="tanh", name="wide", about="Twice as wide", dtypes=("complex128",), **known)


class Abroad:
    """A plugin of one family."""

    @hookimpl
    def equilib_kernels(self) -> Iterable[KernelEntry]:
        """Yield it."""
        yield KernelEntry(name="elsewhere", factory=Elsewhere, summary="")


def test_kernels_that_compute_nothing_of_a_run_are_told(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chosen by an option or by the variable, one without kernels for the run's arrays is told of by every command."""
    registry.register(Abroad(), name="q", distribution="far-kernels")
    out, inputs = str(tmp_path / "run"), str(tmp_path / "inputs.npy")
    np.save(inputs, np.zeros((1, 1), "float32"))
    sentence = (
        "it has no kernels for numpy.ndarray of float32, which is computed with here; formulas compute ('equilib "
        "kernels show elsewhere' tells what it is for)"
    )
    argv = ["run", "linear", "--epochs", "1", "--dtype", "float32", "--out", out]
    for arguments in ([*argv, "--kernels", "elsewhere"], ["evaluate", out], ["predict", out, inputs]):
        assert main(arguments, registry=registry) == 0
        written = capsys.readouterr()
        assert (written.out + written.err).count(f"arning: the choice of 'elsewhere': {sentence}\n") == 1
    for arguments in ([*argv, "--kernels", "fast", "--overwrite"], ["evaluate", out, "--kernels", "none"]):
        assert main(arguments, registry=registry) == 0
        assert sentence not in capsys.readouterr().out
    monkeypatch.setattr("equilib.kernels.selection._choice", None)
    monkeypatch.setenv("EQUILIB_KERNELS", "elsewhere")
    assert main([*argv, "--overwrite"], registry=registry) == 0
    assert f"Warning: EQUILIB_KERNELS=elsewhere: {sentence}\n" in capsys.readouterr().out


@dataclass(frozen=True)
class Terse:
    """A kernel of which nothing is told."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield it."""
        yield Kernel(operation="tanh", name="terse", about="", applies=lambda *args: True, load=lambda: np.tanh)


class Whose:
    """A plugin of one family."""

    @hookimpl
    def equilib_kernels(self) -> Iterable[KernelEntry]:
        """Yield it."""
        yield KernelEntry(name="terse", factory=Terse, summary="")


def test_a_kernel_of_which_nothing_is_told_has_no_colon(capsys: pytest.CaptureFixture[str]) -> None:
    """What follows its use is left out with the sign before it."""
    found = Registry()
    found.register(Whose(), name="p", distribution="terse-kernels")
    assert main(["kernels", "show", "tanh"], registry=found) == 0
    assert capsys.readouterr().out.splitlines()[1].rstrip().endswith("yes (priority 0)")


def test_of_two_families_with_one_name_each_is_listed_by_its_package(capsys: pytest.CaptureFixture[str]) -> None:
    """The list says how each is chosen, neither is used by default, and NAME@PACKAGE chooses, shows and checks it."""
    found = Registry()
    for package in ("one", "two"):
        found.register(Whose(), name=f"p-{package}", distribution=package)
    assert main(["kernels", "--json"], registry=found) == 0
    assert [each["reason"] for each in json.loads(capsys.readouterr().out)] == [
        f"off, as its name is another's too: --kernels terse@{package}" for package in ("one", "two")
    ]
    with using_kernels("auto"):
        assert main(["kernels", "show", "terse@two"], registry=found) == 0
        assert main(["kernels", "show", "terse"], registry=found) == 2
        out, err = capsys.readouterr()
        assert "two" in out
        assert "say whose, as in terse@two" in err
        assert main(["check", "terse@two", "--json"], registry=found) == 0
        assert {each["status"] for each in json.loads(capsys.readouterr().out)} <= {"ok", "skipped"}
        assert main(["check", "terse"], registry=found) == 2
        assert "say whose, as in terse@two" in capsys.readouterr().err
