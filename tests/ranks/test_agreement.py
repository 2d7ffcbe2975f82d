"""Ranks of a real MPI agree with one process, and with themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equilib.machine.ranks.group import ALONE
from tests.ranks.launching import launch, require_mpi
from tests.ranks.program import outcomes, trainings

ROUNDING = {"float32": 1e-5, "float64": 1e-12}
"""How far apart parameters may be, relative to the largest of their array."""

SHARED = " shares:"
"""What is in the names of trainings in a number of shares."""

Found = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def alone() -> Found:
    """Return what this process alone ends with."""
    return outcomes(trainings(ALONE))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Found]:
    """Return the way to what so many ranks end with; they train when they are first asked for."""
    require_mpi()
    known: dict[int, Found] = {}

    def of(ranks: int) -> Found:
        if ranks not in known:
            known[ranks] = trained(ranks, tmp_path_factory.mktemp("ranks") / "found.npz")
        return known[ranks]

    return of


def trained(ranks: int, path: Path) -> Found:
    """Train with so many ranks, and return what is in the file."""
    done = launch(ranks, "-m", "tests.ranks.program", path)
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("ranks", [3, 4])
def test_parameters_are_those_of_one_process(ranks: int, alone: Found, found: Callable[[int], Found]) -> None:
    """Whatever the shares, with ranks that have none, parameters differ by rounding: with clipping, noise, dropout."""
    others = found(ranks)
    assert others.keys() == alone.keys()
    for name, own in alone.items():
        if SHARED not in name and "metrics/" not in name:
            bound = ROUNDING[str(own.dtype)] * np.abs(own).max()
            np.testing.assert_allclose(others[name], own, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("ranks", [3, 4])
def test_metrics_are_those_of_the_whole_batch(ranks: int, alone: Found, found: Callable[[int], Found]) -> None:
    """Scores and statuses are the same counts, losses and norms differ by rounding, random numbers not at all."""
    for name, value in found(ranks).items():
        # Near rounding a solve may take an evaluation more or less.
        if SHARED not in name and "metrics/" in name and not name.endswith("forward_nfe"):
            np.testing.assert_allclose(value, alone[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("ranks", [3, 4])
def test_shares_decide_the_bits(ranks: int, alone: Found, found: Callable[[int], Found]) -> None:
    """With a number of shares all is the same whoever computes them, even of coupled samples."""
    names = [name for name in alone if SHARED in name]
    assert {name.partition(":")[0] for name in names} == {"five shares", "coupled shares"}
    for name in names:
        np.testing.assert_array_equal(found(ranks)[name], alone[name], err_msg=name)


def test_a_repetition_has_the_same_bits(found: Callable[[int], Found], tmp_path: Path) -> None:
    """Four ranks end with the bits of four ranks."""
    again = trained(4, tmp_path / "again.npz")
    for name, value in found(4).items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
