"""The gradient of a batch that ranks of a real MPI share is that of one process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from equilib.machine.ranks.division import Division
from equilib.machine.ranks.group import ALONE
from tests.ranks.gradients import BATCHES, Gradients, batch_gradient, gradients
from tests.ranks.launching import launch, require_mpi
from tests.ranks.program import of_solver

SOLVERS = ("newton-gmres", "anderson", "picard", "vcab3")

UNITS = 16
"""Units in the last place of Σ |gᵢ|: a sum of eleven terms rounds off ten at most, in any order (Higham 2002,
§4.2), and each term is a solve whose products BLAS adds in an order that hangs on the shape."""


@pytest.fixture(scope="module")
def alone() -> Gradients:
    """Return the gradients that this process computes by itself."""
    return gradients("small", SOLVERS)


@pytest.fixture(scope="module")
def sizes() -> Gradients:
    """Return Σ |gᵢ| over the gradients of the samples of each batch, each computed alone in float64, by name."""
    found: Gradients = {}
    for solver in SOLVERS:
        subject = of_solver(solver, ALONE, "float64", 0)
        for size in BATCHES["small"]:
            for sample in range(size):
                for place, leaf in batch_gradient(subject, np.arange(sample, sample + 1), Division(1, 1)).items():
                    name = f"{solver}:{size}:{place}"
                    found[name] = found.get(name, 0) + np.abs(leaf) / size
    return found


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_gradient_of_a_batch_is_that_of_one_process(
    ranks: int, alone: Gradients, sizes: Gradients, tmp_path: Path
) -> None:
    """Of 11 samples and of 2, which leave some rank none, in both dtypes, it differs by what a sum rounds off."""
    require_mpi()
    done = launch(ranks, "-m", "tests.ranks.gradients", tmp_path / "found.npz", "small", *SOLVERS)
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == alone.keys()
        for name, own in alone.items():
            assert found[name].dtype == own.dtype
            bound = UNITS * np.finfo(own.dtype).eps * sizes[name.partition(":")[2]].max()
            np.testing.assert_allclose(found[name], own, rtol=0, atol=bound, err_msg=name)
