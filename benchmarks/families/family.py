"""Families of fixed-point problems whose fixed points are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.families.derivatives import jacobians, product, transposed_product
from benchmarks.families.roots import refined
from equilib import FixedPointProblem

Map = Callable[..., np.ndarray]
Drawn = tuple[tuple[np.ndarray, ...], np.ndarray]
"""The inputs of the map, each with the batch axis, and the initial guess."""


def by_refinement(f: Map, z: np.ndarray, *inputs: np.ndarray) -> np.ndarray:
    """Return the fixed points that Newton's method finds from z, nan where it finds none."""
    return refined(f, z, *inputs)


def nowhere(f: Map, z: np.ndarray, *inputs: np.ndarray) -> np.ndarray:
    """Return nan for each sample: the map has no fixed point."""
    return np.full_like(z, np.nan)


@dataclass(frozen=True, eq=False)
class Family:
    """Maps z ↦ f(z, *inputs) of one kind, drawn at random.

    Attributes
    ----------
    name : str
    f : callable
        `f(z, *inputs)` on NumPy arrays, z of shape (batch, n), real or complex: it is analytic, so that its products
        can be had by the complex step. The inputs have the batch axis too, so that each sample is a map of its own.
    draw : callable
        `draw(rng, batch)` to inputs and initial guess in float64.
    nearest : callable
        `nearest(f, z, *inputs)` to the fixed point nearest to each row of z, in float64; nan where there is none.
    options : mapping
        Fields of `SolveOptions` that the family needs, as `atol=0` where states are tiny.
    """

    name: str
    f: Map = field(repr=False)
    draw: Callable[[np.random.Generator, int], Drawn] = field(repr=False)
    nearest: Callable[..., np.ndarray] = field(default=by_refinement, repr=False)
    options: Mapping[str, float] = field(default_factory=dict)

    @property
    def solvable(self) -> bool:
        """Whether the maps have fixed points."""
        return self.nearest is not nowhere

    def instance(self, rng: np.random.Generator, batch: int, dtype: str) -> Instance:
        """Draw a batch of maps and guesses, rounded to `dtype`."""
        inputs, z0 = self.draw(rng, batch)
        return Instance(self, tuple(each.astype(dtype) for each in inputs), z0.astype(dtype))


@dataclass(frozen=True, eq=False)
class Instance:
    """A batch of one family's maps in one dtype; what is said of them is computed in float64."""

    family: Family
    inputs: tuple[np.ndarray, ...] = field(repr=False)
    z0: np.ndarray = field(repr=False)

    def problem(self) -> FixedPointProblem:
        """Return the problem, with products by the complex step, exact to rounding."""
        f = self.family.f
        return FixedPointProblem(
            f,
            *self.inputs,
            jvp=lambda z, v, *inputs: product(f, z, v, *inputs),
            vjp=lambda z, w, *inputs: transposed_product(f, z, w, *inputs),
            batched_inputs=(True,) * len(self.inputs),
        )

    def sample(self, index: int) -> Instance:
        """Return one of the samples as a batch of one."""
        rows = slice(index, index + 1)
        return Instance(self.family, tuple(each[rows] for each in self.inputs), self.z0[rows])

    @np.errstate(all="ignore")  # where a solver ended, f may overflow
    def image(self, z: np.ndarray) -> np.ndarray:
        """Return f(z) in float64."""
        return self.family.f(z.astype(np.float64), *self._doubles)

    @np.errstate(all="ignore")
    def nearest(self, z: np.ndarray) -> np.ndarray:
        """Return the fixed point nearest to each row of z, nan where there is none."""
        return self.family.nearest(self.family.f, z.astype(np.float64), *self._doubles)

    def jacobians(self, z: np.ndarray) -> np.ndarray:
        """Return ∂f/∂z in float64, shape (batch, n, n)."""
        return jacobians(self.family.f, z.astype(np.float64), *self._doubles)

    @property
    def _doubles(self) -> tuple[np.ndarray, ...]:
        return tuple(each.astype(np.float64) for each in self.inputs)
