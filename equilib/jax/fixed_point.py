"""The fixed point of a map in JAX, as a differentiable function of all that the map depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

from equilib.adjoints.fixed_point import suited
from equilib.arrays import Tree
from equilib.fixed_points.options import SolveOptions, overridden
from equilib.fixed_points.solution import Solution
from equilib.jax.how import How, Record
from equilib.jax.primitives import solve_p
from equilib.jax.problems import posed
from equilib.jax.states import packing


def fixed_point(f, z0, *inputs, solver="auto", adjoint=None, has_aux=False, batched=True, batched_inputs=None,
                fallback=(), options=None, **overrides):
    found = equilibrium(f, z0, *inputs, solver=solver, adjoint=adjoint, has_aux=has_aux, batched=batched, batched_inputs=batched_inputs, fallback=fallback, options=options, **overrides)
    return (found.z, found.aux) if has_aux else found.z


@dataclass(frozen=True)
class Equilibrium:
    z: Tree
    aux: Tree
    solution: Any
    record: Record


def equilibrium(f, z0, *inputs, solver="auto", adjoint=None, has_aux=False, batched=True, batched_inputs=None,
                fallback=(), options=None, **overrides):
    packed, start = packing(z0, batched=batched)
    problem = posed(f, inputs, packed, has_aux=has_aux, batched_inputs=batched_inputs)
    options = overridden(SolveOptions, options, overrides, fixed_point)
    if "compact" not in overrides:
        options = replace(options, compact=0.0)
    solver, adjoint = _named(solver, adjoint)
    how = How(solver, adjoint, options, fallback, problem.batched)
    z, *rest = solve_p.bind(jax.lax.stop_gradient(start), *problem.arrays, f=problem.f, how=how)
    state = packed.unpack(z)
    aux = problem.value(state, problem.arrays)[1] if has_aux else None
    return Equilibrium(state, aux, rest, how.record)


def _named(solver, adjoint):
    from functools import cache
    from equilib.plugin.registry import Registry
    from equilib.plugin.choosing import build_named
    from equilib.plugin import SolverEntry, SensitivityEntry
    registry = Registry.discover()
    if isinstance(solver, str): solver = build_named(registry, SolverEntry, solver).part
    if isinstance(adjoint, str): adjoint = build_named(registry, SensitivityEntry, adjoint).part
    return solver, suited(solver) if adjoint is None else adjoint
