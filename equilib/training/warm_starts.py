"""Warm starts: the solves of an epoch begin where those of the last epoch ended for the same sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from equilib.adjoints.equilibrium import Equilibrium
from equilib.arrays import Array, Tree, array_namespace
from equilib.errors import UserError
from equilib.fixed_points.solution import Solution, Status
from equilib.machine.ranks.group import ALONE, Ranks
from equilib.training.model import EquilibriumModel

NONE, EQUILIBRIA, BOTH = "none", "equilibria", "both"
_ARGUMENTS = {NONE: (), EQUILIBRIA: ("start",), BOTH: ("start", "adjoint_guess")}
# The best iterate of a solve that stalled may lie in a valley of the residual without a fixed point.
_NEAR = (Status.CONVERGED, Status.MAX_STEPS)


class WarmStarts:
    """The fixed point z* of each training sample, and its adjoint w, as they were when it was last trained on.

    Each pass replaces the arrays of its samples. No array is changed in place. `kept` says, as `--warm-start` does,
    which of the two, the solutions forward and backward, are kept of so many `samples`.
    """

    def __init__(self, kept: str = NONE, samples: int = 0) -> None:
        self.kept = kept
        self._rows: dict[str, list[Array | None]] = {name: [None] * samples for name in _ARGUMENTS[kept]}

    def check(self, model: Any, transform: Callable[..., Any] | None) -> None:
        """Refuse what could not use it.

        Raises UserError if the model has no equilibrium, its adjoint takes no guess, or no input comes twice.
        """
        if self.kept == NONE:
            return
        possible = model.warm_starts() if isinstance(model, EquilibriumModel) else ()
        if "start" not in possible:
            raise UserError("the model solves for no equilibrium that could start warm; leave out --warm-start")
        if not set(self._rows) <= set(possible):
            raise UserError(
                f"the adjoint cannot start from a guess, as --warm-start {BOTH} wants; take --warm-start {EQUILIBRIA}, "
                "or another adjoint"
            )
        if transform is not None:
            raise UserError(
                "the inputs are changed at random, so that none comes twice and no equilibrium is of use again; "
                "leave out --warm-start"
            )

    def guesses(self, model: Any, rows: np.ndarray, count: int | None = None) -> dict[str, Array]:
        """Return what a call of the model with the samples `rows` is to be given; nan where nothing is known.

        The loss is the mean of `count` samples, by default of these.
        """
        if self.kept == NONE:
            return {}
        names = [name for name in model.warm_starts() if name in self._rows]
        known = {name: [self._rows[name][row] for row in rows] for name in names}
        found = {name: _stacked(each) for name, each in known.items() if any(row is not None for row in each)}
        # The gradient of a mean: what is kept does not depend on the size of the batch, and the last one is smaller.
        return {name: each / (count or len(rows)) if name == "adjoint_guess" else each for name, each in found.items()}

    def remember(self, *passes: tuple[Equilibrium, np.ndarray], count: int | None = None, ranks: Ranks = ALONE) -> None:
        """Keep what passes with samples found, forward and backward; all ranks keep what each found."""
        if self.kept == NONE:
            return
        own = [self._found(record, rows, count or len(rows)) for record, rows in passes]
        for found in (each for rank in ranks.gather(own) for each in rank):
            for name, arrays in found.items():
                for row, array in arrays.items():
                    self._rows[name][row] = array

    def _found(self, record: Equilibrium, samples: np.ndarray, count: int) -> dict[str, dict[int, Array | None]]:
        found: dict[str, tuple[Solution, int]] = {}
        if record.solution is not None:
            found["start"] = record.solution, 1
        if "adjoint_guess" in self._rows and record.adjoints:
            found["adjoint_guess"] = record.adjoints[-1], count
        return {name: _by_row(solution, factor, samples) for name, (solution, factor) in found.items()}

    def state(self) -> dict[str, tuple[Array | None, ...]]:
        """Return what is kept, by the name of the argument; it never changes afterwards."""
        return {name: tuple(each) for name, each in self._rows.items()}

    def restore(self, state: Mapping[str, Sequence[Array | None]], put: Callable[[Array], Array]) -> None:
        """Go on from what `state` returned, or its arrays on the host, which `put` puts on the device.

        Raises ValueError if it is of another `kept` or of another training set.
        """
        if {name: len(each) for name, each in state.items()} != {name: len(each) for name, each in self._rows.items()}:
            raise ValueError("it keeps other warm starts")
        self._rows = {name: [None if row is None else put(row) for row in each] for name, each in state.items()}

    def describe(self, model: Any, params: Tree, inputs: Array) -> list[str]:
        """Return a line about what is kept and how large it will be, for people; none where nothing is kept."""
        if self.kept == NONE:
            return []
        _, record = model.unrolled(1)(params, inputs[:1, ...])
        state, samples = record.z, inputs.shape[0]
        size = len(self._rows) * samples * state.size * state.dtype.itemsize / 1e6
        what = {EQUILIBRIA: "equilibria", BOTH: "equilibria and adjoints"}[self.kept]
        return [f"Warm start: {what} of {samples:,} samples, {size:,.1f} MB in memory and in each checkpoint"]


def _by_row(found: Solution, factor: int, rows: np.ndarray) -> dict[int, Array | None]:
    scaled = factor * found.z
    places = enumerate(rows.tolist())
    return {row: scaled[place, ...] if found.status[place] in _NEAR else None for place, row in places}


def _stacked(rows: list[Array | None]) -> Array:
    like = next(row for row in rows if row is not None)
    xp = array_namespace(like)
    unknown = xp.full_like(like, float("nan"))
    return xp.stack([unknown if row is None else row for row in rows])
