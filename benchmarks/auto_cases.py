"""The maps that `python -m benchmarks auto` tries every solver on, one sample each, and what counts as solved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.definition import SLACK, rms
from benchmarks.families import FAMILIES, Instance
from benchmarks.families.cells import BETAS, group_norm_cell, group_norm_inputs, hopfield, hopfield_inputs, tanh_cell
from benchmarks.families.family import Drawn, Family
from benchmarks.families.linear import affine, solution
from benchmarks.families.more_garbow_hillstrom import FACTORS, SIZES, systems
from benchmarks.families.random import directions
from benchmarks.families.trained import trained_cells
from equilib import FixedPointProblem, Solution, SolveOptions
from tests.classical.problems import CLASSICS, Classic

ROOTS = SolveOptions(rtol=0.0, atol=1e-8, norm="max", max_steps=1000, divergence=1e300, on_failure="record")
"""Far from the solution residuals of the classical systems grow by more than a usual map's."""

TIGHT = SolveOptions(rtol=1e-5, max_steps=1000, on_failure="record")
HOPFIELD = replace(TIGHT, max_steps=100)


@dataclass(frozen=True, eq=False)
class Case:
    """A fixed-point problem of one sample, with the options of the solve.

    `residual` maps z to the true size of the residual, to be at most `allowed(z)`.
    """

    family: str
    name: str
    problem: FixedPointProblem = field(repr=False)
    z0: np.ndarray = field(repr=False)
    options: SolveOptions = field(repr=False)
    residual: Callable[[np.ndarray], float] = field(repr=False)

    def solves(self, solution: Solution) -> bool:
        """Tell whether the solution claims to have converged, and has, by its residual in float64."""
        z = solution.z.astype(np.float64)
        scale = min(float(rms(z)[0]), 10 * float(np.max(solution.trace[np.isfinite(solution.trace)], initial=0.0)))
        allowed = self.options.atol + self.options.rtol * max(scale, float(rms(self.z0)[0]))
        return solution.success and self.residual(z) <= SLACK * allowed


def cases(*, quick: bool = False) -> list[Case]:
    """Return all of them, or about one in eight."""
    everything = [*_classical(), *_of_any_size(), *_drawn(), *_trained()]
    return everything[::8] if quick else everything


def _root(family: str, name: str, classic: Classic, start: np.ndarray, sign: float) -> Case:
    def residual(z: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            return float(np.nan_to_num(np.max(np.abs(classic.F(z[0]))), nan=np.inf))

    return Case(family, name, classic.problem(sign), start[None, :], ROOTS, residual)


def _classical() -> Iterator[Case]:
    for sign, form in ((-1.0, "z − F"), (1.0, "z + F")):
        for classic in CLASSICS:
            yield _root(f"classical, {form}", str(classic), classic, classic.z0, sign)


def _of_any_size() -> Iterator[Case]:
    for factor in FACTORS:
        for n in SIZES:
            for each in systems(n):
                yield _root(f"Moré–Garbow–Hillstrom × {factor}", f"{each.name}, n = {n}", each, factor * each.z0, -1.0)


def _drawn() -> Iterator[Case]:
    for beta in BETAS:
        yield from _samples(Family(f"Hopfield, β = {beta:g}", hopfield, hopfield_inputs(beta)), 6, HOPFIELD)
    for gain in (0.3, 1.0, 3.0):
        for injection in (0.3, 1.0):
            family = Family("group norm", group_norm_cell, group_norm_inputs(gain, injection))
            yield from _samples(family, 4, TIGHT, f"gain {gain:g}, injection {injection:g}")
    yield from _samples(Family("strongly coupled, n = 200", affine, _coupled, solution), 2, TIGHT)
    for family in FAMILIES:
        if family.solvable and family.name not in ("Hopfield", "group norm"):
            yield from _samples(family, 6, replace(TIGHT, **family.options))


def _coupled(rng: np.random.Generator, batch: int) -> Drawn:
    n = 200
    return (np.eye(n) - directions(rng, batch, n), rng.standard_normal((batch, n))), np.zeros((batch, n))


def _samples(family: Family, count: int, options: SolveOptions, name: str = "") -> Iterator[Case]:
    """Yield `count` maps, every second one of a draw of its own, since a draw has one size."""
    for draw in range(count // 2):
        drawn = family.instance(np.random.default_rng((draw, *family.name.encode())), 2, "float64")
        for index in range(2):
            yield _instance(family.name, f"{name} {draw}.{index}".strip(), drawn.sample(index), options)


def _instance(family: str, name: str, instance: Instance, options: SolveOptions) -> Case:
    return Case(family, name, instance.problem(), instance.z0, options, lambda z: float(rms(instance.image(z) - z)[0]))


def _trained() -> Iterator[Case]:
    for step, (W, injection) in trained_cells().items():
        family = Family("trained on spirals", tanh_cell, _nothing)
        for row in range(0, len(injection), 8):
            inputs = (W[None], injection[row : row + 1], np.ones((1, 1)))
            yield _instance(family.name, f"after {step}, {row}", Instance(family, inputs, np.zeros((1, len(W)))), TIGHT)


def _nothing(rng: np.random.Generator, batch: int) -> Drawn:
    raise NotImplementedError("these cells are trained, not drawn")
