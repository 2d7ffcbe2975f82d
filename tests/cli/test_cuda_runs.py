"""`--device cuda` from the command line, on the GPU where there is one, else on the emulated CuPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.cli import main
from tests.arrays_under_test import cupy_in_place
from tests.digits import write_digits

BRIEF = ("--limit", "24", "--batch-size", "8", "--epochs", "1", "--pretrain-epochs", "1")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of made-up digits."""
    return write_digits(tmp_path_factory.mktemp("digits"), train=24, test=8)


def trained(out: Path, *argv: str) -> list[dict[str, Any]]:
    """Run an experiment to its end; return its epochs."""
    with cupy_in_place():
        assert main([*argv, "--out", str(out)]) == 0
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def agree(folder: Path, *argv: str) -> None:
    """Run on both; the epochs agree to rounding, the record names the device, and the model is the host's."""
    host, gpu = (trained(folder / device, *argv, "--device", device) for device in ("cpu", "cuda"))
    for one, other in zip(host, gpu, strict=True):
        assert (other["phase"], other["forward_nfe"]) == (one["phase"], one["forward_nfe"])
        np.testing.assert_allclose(other["loss"], one["loss"], rtol=1e-4)
    record = json.loads((folder / "cuda" / "run.json").read_text())
    assert record["device"].startswith("cuda: ")
    assert main(["evaluate", str(folder / "cuda"), "--device", "cpu"]) == 0


@pytest.mark.parametrize("solver", ["newton-gmres", "anderson", "vcab3", "newton-gmres:linear_solver=library"])
def test_a_run_on_a_gpu_is_the_run_on_the_host(solver: str, tmp_path: Path) -> None:
    """The smallest network trains on CuPy's arrays as on NumPy's, with solvers of each kind."""
    agree(tmp_path, "run", "linear", "--solver", solver, "--epochs", "2")


@pytest.mark.cupy
@pytest.mark.parametrize("solver", ["newton-gmres", "anderson", "vcab3"])
def test_digits_are_trained_on_a_gpu_as_on_the_host(solver: str, digits: Path, tmp_path: Path) -> None:
    """So does the tutorial's, with its convolutions, norms and pretraining."""
    agree(tmp_path, "run", "mnist", "--solver", solver, *BRIEF, "--data-dir", str(digits))
