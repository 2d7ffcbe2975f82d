"""Laws about a solver's batch: what one sample does must not matter to another, and any number of samples is one."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from equilib.fixed_points.solution import Solution, Status
from equilib.testing.check import require
from equilib.testing.maps import DENSE, EXPANSIVE, LINEAR
from equilib.testing.subject import SolverSubject, difference, host, same_bits, skip

RTOL = 1e-6
"""The tolerance of these solves."""

MANY = 130
"""Samples of a large batch: more than 128, where what goes by powers of two begins anew."""


def a_nan_stays_in_its_sample(subject: SolverSubject) -> None:
    """One bad image must not spoil a batch: 0 · nan is nan, so samples are selected, never multiplied by a mask."""
    sick = 3
    others = [i for i in range(len(DENSE.z0)) if i != sick]
    z0 = DENSE.z0.copy()
    z0[sick] = np.nan
    healthy = subject.solve(DENSE, rtol=RTOL)
    for where, known in (("bias", DENSE.poisoned(sick)), ("initial guess", DENSE.starting_at(z0))):
        solution = subject.solve(known, rtol=RTOL)
        ended = solution.status[sick].name
        require(solution.status[sick] is Status.NONFINITE, f"with nan in its {where} a sample ended as {ended}")
        _agree(subject, solution, healthy, others, f"with nan in the {where} of sample {sick}")
    late = DENSE.turning_nan(sick, derivatives=bool(subject.needs))
    solution = subject.solve_problem(late, DENSE.start(), rtol=RTOL)
    _agree(subject, solution, healthy, others, f"where f is nan in sample {sick} from the third evaluation on")
    # The driver ends such a sample; a solver that is stepped by hand must not go on from a z that nobody gave.
    z = subject.stepped(DENSE.starting_at(z0)).z
    require(not np.isfinite(host(z)[sick]).all(), f"nan in the initial guess of sample {sick} is replaced by a number")


def a_finished_sample_harms_nobody(subject: SolverSubject) -> None:
    """A sample whose residual is zero offers 0/0 to every quotient, and the others go on."""
    finished = 1
    z0 = DENSE.z0.copy()
    at_zero = dataclasses.replace(LINEAR, bias=LINEAR.bias.copy(), z0=LINEAR.z0.copy())
    z0[finished] = np.array(DENSE.solution)[finished]
    at_zero.bias[finished] = at_zero.z0[finished] = 0.0  # zero is then the fixed point, to the last bit
    others = [i for i in range(len(z0)) if i != finished]
    for known in (DENSE.starting_at(z0), at_zero):
        solution = subject.solve(known, rtol=RTOL)
        require(solution.success, f"beside a sample that was finished at the start: {solution.failure_report()}")
        require(solution.steps[finished] == 0, f"the finished sample took {solution.steps[finished]} steps")
        original = subject.solve(LINEAR if known is at_zero else DENSE, rtol=RTOL)
        _agree(subject, solution, original, others, "beside a sample that was finished at the start")


def a_hopeless_sample_harms_nobody(subject: SolverSubject) -> None:
    """Samples that diverge or overflow leave the others their own step sizes and their own end."""
    z0 = DENSE.z0.copy()
    z0[0] = 1e200  # its square overflows
    solution = subject.solve(DENSE.starting_at(z0), rtol=RTOL)
    _agree(subject, solution, subject.solve(DENSE, rtol=RTOL), [1, 2, 3, 4], "beside a sample of size 1e200")


def treats_samples_separately(subject: SolverSubject) -> None:
    """An answer that depends on the batch mates is no property of the input; a solver that couples samples says so."""
    for known in (DENSE, LINEAR, EXPANSIVE):
        together = subject.solve(known, rtol=RTOL, max_steps=60)
        for i in range(len(known.z0)):
            alone = subject.solve(known.take([i]), rtol=RTOL, max_steps=60)
            _agree(subject, alone, _only(together, i), [0], f"on {known}, sample {i} alone and in its batch")


def treats_many_samples_separately(subject: SolverSubject) -> None:
    """A batch of any size is solved as a small one is: blocks, workers and caches begin to matter with its size."""
    few = len(DENSE.z0)
    first = subject.solve(DENSE, rtol=RTOL, max_steps=3)
    known = DENSE.take([i % few for i in range(MANY)])
    far = known.starting_at(np.concatenate([known.z0[:-1], 1e6 * known.z0[-1:]]))
    for each, others in ((known, MANY), (far, MANY - 1)):
        many = subject.solve(each, rtol=RTOL, max_steps=3)
        beside = "" if each is known else " beside one that starts far away"
        for i in range(others):
            _agree(subject, _only(many, i), _only(first, i % few), [0], f"in a batch of {MANY}, sample {i}{beside}")


def takes_one_sample_or_none(subject: SolverSubject) -> None:
    """The last batch of an epoch may hold one sample, and a filter may leave none."""
    one = subject.solve(DENSE.take([4]), rtol=RTOL)
    require(one.success, f"with one sample: {one.failure_report()}")
    none = subject.solve(DENSE.take(slice(0, 0)), rtol=RTOL)
    require(none.z.shape == (0, *DENSE.z0.shape[1:]), f"without samples z has the shape {none.z.shape}")
    require(none.status == (), "without samples there is no status")


def keeps_answers_without_finished_samples(subject: SolverSubject) -> None:
    """Finished samples are removed from the batch, and from the solver's state: the others must not notice."""
    if subject.whole or getattr(subject.solver, "restrict", True) is None:
        skip("it keeps all samples")
    answer = np.array(DENSE.solution)
    # So near that they end one after another: the first before any step.
    share_of_the_way = np.array([0.0, 1e-4, 1.0, 1e-2, 1e-3])[:, None]
    known = DENSE.starting_at(answer + share_of_the_way * (DENSE.z0 - answer))
    whole, reduced = (
        subject.solve_problem(known.restrictable(), known.start(), rtol=RTOL, compact=share) for share in (0.0, 1.0)
    )
    require(reduced.sample_nfe < reduced.nfe * len(known.z0), "no sample was removed on the way")
    _agree(subject, reduced, whole, list(range(len(known.z0))), "without the finished samples")
    shape, expected = tuple(reduced.state.z.shape), known.z0.shape
    require(shape == expected, f"put together again, the last state has z of shape {shape}, z0 has {expected}")


def _only(solution: Solution, i: int) -> Solution:
    picked: dict[str, Any] = {
        name: getattr(solution, name)[i : i + 1] for name in ("z", "residual", "status", "steps", "residual_norm")
    }
    return dataclasses.replace(solution, **picked)


def _agree(subject: SolverSubject, one: Solution, other: Solution, samples: list[int], when: str) -> None:
    """Require the same to the last bit; of a solver that couples samples the same answers."""
    for i in samples:
        a, b = one.status[i], other.status[i]
        if subject.couples_samples:
            both = a is Status.CONVERGED and b is Status.CONVERGED
            close = 10 * RTOL * (1 + float(np.max(np.abs(other.z[i]))))
            same = not both or difference(one.z[i], other.z[i]) <= close
            require(
                same, f"{when}, sample {i} differs by {difference(one.z[i], other.z[i]):.1e}, 10·rtol is {close:.0e}"
            )
            require(b is not Status.CONVERGED or both, f"{when}, sample {i} ended as {a.name} instead of {b.name}")
            continue
        require(a is b, f"{when}, sample {i} ended as {a.name} instead of {b.name}")
        require(one.steps[i] == other.steps[i], f"{when}, sample {i} took {one.steps[i]} steps, not {other.steps[i]}")
        gap = difference(one.z[i], other.z[i])
        require(same_bits(one.z[i], other.z[i]), f"{when}, sample {i} differs by {gap:.1e}, not bit for bit the same")
