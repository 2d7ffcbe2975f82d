"""`equilib kernels` and `--kernels`: what computes, why, and how it is chosen and recorded."""

from __future__ import annotations

import json
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
    """Each has its operation, arrays, cost, and what it is or why it is not used; what is not here says why."""
    assert main(["kernels", "--json"], registry=registry) == 0
    assert listed(capsys) == [
        ("tanh", "quick", ""),
        ("tanh", "slow", ""),
        ("tanhh", "odd", "there is no such operation"),
    ]
    assert main(["kernels"], registry=registry) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "tanh fast/quick numpy.ndarray float32 1.5 s, then 0.1 s NumPy's own" in out
    assert "gone cannot be used here: install gone" in out
    with using_kernels("none"):
        assert main(["kernels", "show", "tanh", "--json"], registry=registry) == 0
    assert listed(capsys) == [(*each, "off, by the choice of none") for each in (("tanh", "quick"), ("tanh", "slow"))]


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


def test_kernels_are_checked(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    """`equilib check` holds a family to the formulas."""
    assert main(["check", "fast", "--json"], registry=registry) == 1
    found = {each["check"]: each["status"] for each in json.loads(capsys.readouterr().out)}
    assert {name for name, status in found.items() if status == "failed"} == {"names_operations"}


def test_a_kernel_that_fails_in_a_run_is_one_line(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run goes on with the formula, and says so once, among its other lines."""
    arguments = ["run", "linear", "--epochs", "1", "--out", str(tmp_path / "run"), "--batch-size", "1000"]
    with using_kernels("none", least_numbers=1):
        assert main([*arguments, "--kernels", "fast:level=9"], registry=registry) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "broken" in line]
    assert len(lines) == 1
    assert "Warning: kernel fast/broken of dot (fast-kernels 3.0) failed (ModuleNotFoundError" in lines[0]
