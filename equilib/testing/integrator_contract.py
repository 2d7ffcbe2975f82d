"""Laws of an integrator: the obligations of `equilib.ode.integrator.Integrator`, in batches and on arrays of others."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np

from equilib.arrays import Array
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integration import integrate
from equilib.ode.integrator import Attempt, Integrator, Memory
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeStatus
from equilib.testing.batches import MANY
from equilib.testing.check import require
from equilib.testing.contract import DTYPES, arrives_by_pickle, global_generator_untouched, options_are_declared
from equilib.testing.decay import decay, linearized_decay
from equilib.testing.integrator_subject import TIMES, Y0, IntegratorSubject
from equilib.testing.subject import difference, host, namespaces, same_bits


def declares_its_options(subject: IntegratorSubject) -> None:
    """The command line lists, parses and records the fields of a frozen dataclass."""
    options_are_declared(subject.integrator)


def goes_to_other_processes(subject: IntegratorSubject) -> None:
    """A pool of processes is sent integrators by pickle."""
    arrives_by_pickle(subject.integrator)


def a_nan_stays_in_its_sample(subject: IntegratorSubject) -> None:
    """With a step size for each sample, one bad sample must not touch the others."""
    y0 = Y0.copy()
    y0[1] = np.nan
    healthy, ill = subject.run(per_sample=True), subject.run(y0=y0, per_sample=True)
    require(ill.status[1] is OdeStatus.NONFINITE, f"the sample with nan ended as {ill.status[1].name}")
    for i in (0, 2, 3):
        gap = difference(ill.y[:, i], healthy.y[:, i])
        require(same_bits(ill.y[:, i], healthy.y[:, i]), f"sample {i} differs by {gap:.1e} beside a nan")


def treats_samples_separately(subject: IntegratorSubject) -> None:
    """With a step size for each sample, an answer is that of the sample alone, bit for bit."""
    together = subject.run(per_sample=True)
    for i in range(len(Y0)):
        alone = subject.run(y0=Y0[i : i + 1], per_sample=True)
        gap = difference(alone.y[:, 0], together.y[:, i])
        require(same_bits(alone.y[:, 0], together.y[:, i]), f"sample {i} alone and in its batch differ by {gap:.1e}")


def treats_many_samples_separately(subject: IntegratorSubject) -> None:
    """A batch of any size is integrated as a small one is."""
    rows = [i % len(Y0) for i in range(MANY)]
    few, many = (
        subject.run(per_sample=True, times=(0.0, 0.3)),
        subject.run(y0=Y0[rows], per_sample=True, times=(0.0, 0.3)),
    )
    gap = difference(many.y[-1], few.y[-1][rows])
    require(same_bits(many.y[-1], few.y[-1][rows]), f"in a batch of {MANY} samples the ends change by {gap:.1e}")


def counts_every_evaluation(subject: IntegratorSubject) -> None:
    """Integrators are compared by `nfe`, so f must be called through the flow only."""
    calls: Counter[str] = Counter()

    def counted(t: Array, y: Array) -> Array:
        calls["f"] += 1
        return decay(t, y)

    solution = integrate(OdeProblem(counted), Y0, TIMES, copy.deepcopy(subject.integrator))
    require(solution.nfe == calls["f"], f"f was called {calls['f']} times, {solution.nfe} were counted")


def keeps_dtypes(subject: IntegratorSubject) -> None:
    """float32 stays float32."""
    for dtype in DTYPES:
        found = str(subject.run(dtype=dtype, rtol=1e-3, atol=1e-4).y.dtype)
        require(found == dtype, f"{dtype} became {found}")


def keeps_nothing_on_itself(subject: IntegratorSubject) -> None:
    """An integrator object serves many integrations, also of other shapes, and changes no array of the user's."""
    shared: Any = copy.deepcopy(subject.integrator)
    y0 = Y0.copy()
    with global_generator_untouched():
        first = integrate(decay, y0, TIMES, shared)
        integrate(decay, np.ones((2, 2, 2)), (0.0, 1.0), shared, per_sample=True)
        second = integrate(decay, y0, TIMES, shared)
    require(same_bits(y0, Y0), "it changed the initial value in place")
    require(first.nfe == second.nfe, f"the first took {first.nfe} evaluations, the same once more {second.nfe}")
    require(same_bits(first.y, second.y), f"the same integration differs by {difference(first.y, second.y):.1e}")


def leaves_what_it_is_given(subject: IntegratorSubject) -> None:
    """A step that is rejected is made again from the same start, and interpolants and adjoints use it still later."""
    watched: Any = _Watched(subject.stepped())
    integrate(OdeProblem(decay, linearize=linearized_decay), Y0, (0.0, 0.3), watched, rtol=1e-4, atol=1e-5)
    require(not watched.changed, f"attempt writes into {', '.join(sorted(watched.changed))}")


class _Watched:
    """An integrator, and the names of the arguments that its attempts change."""

    def __init__(self, integrator: Integrator) -> None:
        self._integrator, self.changed = integrator, set[str]()

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        named = {"start.t": start.t, "start.y": start.y, "start.dy": start.dy, "h": h}
        named |= {f"memory.arrays[{i}]": array for i, array in enumerate(memory.arrays)}
        before = {name: array.copy() for name, array in named.items()}
        found = self._integrator.attempt(flow, start, h, memory)
        self.changed |= {name for name, array in named.items() if not same_bits(array, before[name])}
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._integrator, name)


def runs_on_other_arrays(subject: IntegratorSubject) -> None:
    """The same code serves NumPy, CuPy and all array-API libraries: same answers and counts."""
    for name, xp in namespaces(("any",)).items():
        for per_sample in (False, True):
            options: dict[str, Any] = {"per_sample": per_sample, "rtol": 1e-3, "atol": 1e-3}
            expected, solution = subject.run(**options), subject.run(xp=xp, **options)
            require(type(solution.y) is type(xp.asarray(Y0)), f"on {name} y is a {type(solution.y).__name__}")
            require(solution.nfe == expected.nfe, f"on {name} it took {solution.nfe} evaluations, not {expected.nfe}")
            error = difference(host(solution.y), expected.y)
            require(error < 1e-9, f"on {name} the answers differ by {error:.1e}")
