"""`--tf32`: products of float32 matrices by tensor cores, on the emulated CuPy where there is no GPU."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.cli import main
from equilib.experiments.recorded_training import train
from equilib.kernels import using_kernels
from equilib.kernels.selection import in_use
from equilib.machine.tf32 import using_tf32
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.request import RunRequest
from tests.arrays_under_test import GPU, NAMESPACES, cupy_in_place
from tests.training.small import Heard

RUN = ("run", "linear", "--epochs", "1", "--device", "cuda", "--tf32")
LOOSE = ("-o", "rtol=1e-3")
DEFAULT, TF32 = 1, 7  # of CuPy


@pytest.fixture(autouse=True)
def in_place() -> Iterator[None]:
    """Let every test here find a GPU."""
    with cupy_in_place():
        yield


def mode() -> int:
    """Return how CuPy multiplies float32."""
    return int(importlib.import_module("cupy._core").get_compute_type(np.float32))


class Watching(Heard):
    """A reporter that notes how CuPy multiplies after each batch, and may fail then."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.modes: list[int] = []
        self.then = then

    def batch(self, title: str, index: int, count: int, loss: float | None = None) -> None:
        """Note how products are made."""
        self.modes.append(mode())
        self.then()


def trained(reporter: Watching, out: Path, *, tf32: bool) -> None:
    """Train on a GPU."""
    request = RunRequest(experiment="linear", device="cuda", epochs=1, tf32=tf32, options={"rtol": "1e-3"})
    train(RunContext(request=request, registry=Registry.discover(), reporter=reporter, out=out))


@pytest.mark.parametrize(("tf32", "expected"), [(True, TF32), (False, DEFAULT)])
def test_a_run_multiplies_as_it_was_asked_to(tf32: bool, expected: int, tmp_path: Path) -> None:
    """In every batch of training and testing, no longer than the run, which records it and says so."""
    heard = Watching()
    trained(heard, tmp_path / "run", tf32=tf32)
    assert len(heard.modes) > 1
    assert {*heard.modes} == {expected}
    assert mode() == DEFAULT
    assert json.loads((tmp_path / "run/run.json").read_text())["resolved"]["tf32"] is tf32
    assert any("products in TF32" in line for line in heard.lines) is tf32


def test_a_run_that_fails_leaves_products_as_they_were(tmp_path: Path) -> None:
    """What comes after it in the process has all digits."""

    def fail() -> None:
        raise OSError("the disk is full")

    heard = Watching(fail)
    with pytest.raises(OSError, match="full"):
        trained(heard, tmp_path / "run", tf32=True)
    assert heard.modes == [TF32]
    assert mode() == DEFAULT


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((*LOOSE, "--device", "cpu"), "--tf32 is for an NVIDIA GPU, and the run is on cpu: leave it out"),
        ((), "too few for rtol=1e-05: ask for 0.0001 or more, or leave out --tf32"),
        ((*LOOSE, "--adjoint", "implicit:rtol=1e-6"), "too few for the adjoint's rtol=1e-06"),
        ((*LOOSE, "--dtype", "float64"), "the run is in float64"),
    ],
    ids=["cpu", "rtol", "adjoint", "float64"],
)
def test_where_it_cannot_be_meant_it_is_refused(
    argv: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence says why and what to do, and nothing is written."""
    assert main([*RUN, *argv, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_old_gpu_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before compute capability 8.0 CuPy would only warn."""
    device: Any = importlib.import_module("cupy").cuda.Device
    monkeypatch.setattr(device, "compute_capability", "75", raising=False)
    assert main([*RUN, *LOOSE, "--out", str(tmp_path / "run")]) == 2
    assert "needs a GPU of compute capability 8.0, and cuda: " in capsys.readouterr().err


def test_a_run_goes_on_and_is_looked_at_without_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a CPU the rest is trained in float32, as the record says then; an evaluation has all digits anywhere."""
    run = tmp_path / "run"
    assert main([*RUN, *LOOSE, "--out", str(run)]) == 0
    for device in ("cuda", "cpu"):
        assert main(["evaluate", str(run), "--device", device]) == 0
    assert main(["resume", str(run), "--epochs", "2", "--device", "cpu"]) == 0
    assert json.loads((run / "run.json").read_text())["resolved"]["tf32"] is False
    assert "Note: device was cuda" in capsys.readouterr().out


@pytest.mark.skipif(GPU is not None, reason="the emulator counts")
def test_convolutions_are_left_to_products() -> None:
    """The kernels' are exact: in TF32 none takes a convolution of float32, and those of float64 stay theirs."""
    with using_kernels("auto"):
        kernels = [each for each in in_use("conv2d") if each.family.name == "cuda"]
    xp = NAMESPACES["cupy"]

    def taken(dtype: str) -> list[bool]:
        x, weight = xp.ones((2, 5, 5, 3), dtype=dtype), xp.ones((3, 3, 3, 4), dtype=dtype)
        return [each.applies(x, weight, (1, 1), ((1, 1), (1, 1))) for each in kernels]

    assert taken("float32") == taken("float64") == [True]
    with using_tf32("cuda"):
        assert taken("float32") == [False]
        assert taken("float64") == [True]


def test_cupy_has_what_is_called() -> None:
    """The installed CuPy, with or without a GPU, has the two functions, which it does not document."""
    core = pytest.importorskip("cupy._core")
    assert callable(core.get_compute_type)
    assert callable(core.set_compute_type)


def test_torch_multiplies_so_for_the_time_being() -> None:
    """Of PyTorch's two settings it is that of products, since equilib calls no convolution of PyTorch's."""
    torch = pytest.importorskip("torch")
    before = torch.backends.cuda.matmul.allow_tf32
    with using_tf32("torch:cuda"):
        assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32 == before
