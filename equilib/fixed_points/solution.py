"""Solution of a solve: values, one status per sample, and what it cost."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from equilib.arrays import Tree
from equilib.errors import warn
from equilib.fixed_points.display import Shown, axes_or_new, plot_traces, shape_of_tree, spread, tally

if TYPE_CHECKING:
    from equilib.fixed_points.options import SolveOptions


class SampleStatus(Enum):
    """How a solve or an integration ended for one sample; the value is the message for the user."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    @property
    def label(self) -> str:
        """The name in records and messages, such as "max_steps"."""
        return self.name.lower()

    @cached_property
    def success(self) -> bool:
        """Whether the sample has what was asked for."""
        return self.label in SUCCESSES


SUCCESSES = ("converged", "finished", "event")
"""The labels of the statuses of samples that have what was asked for."""


@dataclass(frozen=True, kw_only=True)
class BatchSolution:
    """What the results of a solve and of an integration have in common.

    Attributes
    ----------
    status : tuple of SampleStatus, length batch
    nfe, njvp, nvjp : int
        Evaluations of f, of J·v and of Jᵀ·w; one evaluation is one call on the batch, or on what is left of it.
    residual_norm : ndarray, shape (batch,), or None
        The residual of each sample, where there is such a thing.
    """

    status: tuple[SampleStatus, ...]
    nfe: int = 0
    njvp: int = 0
    nvjp: int = 0
    residual_norm: np.ndarray | None = None

    @property
    def failed(self) -> np.ndarray:
        """Which samples do not have what was asked for: bool, shape (batch,)."""
        return np.asarray([not status.success for status in self.status], dtype=bool)

    @property
    def success(self) -> bool:
        """Whether every sample has what was asked for."""
        return all(status.success for status in self.status)

    def failure_report(self) -> str:
        """Describe in one sentence each way in which samples failed, with the evidence."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields for pickle, None for a solver's state or a library's trajectory with functions in it."""
        return {name: _kept(value) if name in ("state", "dense") else value for name, value in vars(self).items()}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return replace(self, **{each.name: deepcopy(getattr(self, each.name), memo) for each in fields(self)})


def _kept(value: Any) -> Any:
    try:
        pickle.dumps(value)
    except (AttributeError, TypeError, pickle.PicklingError):  # how local functions, generators and libraries refuse
        return None
    return value


class UnsolvedError(RuntimeError):
    """A solve or an integration that was told to raise failed for some sample; `solution` holds what it reached."""

    def __init__(self, solution: BatchSolution, of: str = "") -> None:
        super().__init__(of + solution.failure_report())
        self.solution, self.of = solution, of

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.solution, self.of), vars(self)


class UnsolvedWarning(RuntimeWarning):
    """A solve or an integration that was told to warn failed for some sample."""


def check_success(
    solution: BatchSolution,
    on_failure: str,
    error: type[UnsolvedError],
    warning: type[UnsolvedWarning],
    of: str = "",
) -> None:
    """Raise or warn, as `on_failure` says, where a sample failed; the warning names the user's line.

    `of` begins the text: whose solve it was.
    """
    if solution.success or on_failure == "record":
        return
    if on_failure == "raise":
        raise error(solution, of)
    warn(of + solution.failure_report(), warning)


def of_adjoint(sensitivity: object, what: str = "adjoint") -> str:
    """Return how the text about an adjoint equation, or that of tangents, that was not solved begins."""
    return f"the {what} equation of {type(sensitivity).__name__} was not solved: "


GROWTH = 1e4
"""Growth, of a residual over its first value or of z over the scale of the solve, that is called divergence."""


class Status(SampleStatus):
    """How the solve ended for one sample."""

    RUNNING = "the solve has not ended"
    CONVERGED = "the residual, and the distance that the last step tells, fell to the tolerance"
    MAX_STEPS = "max_steps was reached; raise it, loosen rtol, or try another solver"
    STALLED = "the residual could not be reduced further; the map may have no fixed point nearby"
    DIVERGED = "z or its residual grew far beyond the start; f may be expansive here, or have no fixed point"
    NONFINITE = (
        "a nan or inf appeared, in f or in the solver's own arithmetic; check the inputs and the scale of f and z"
    )
    COUPLED = (
        "samples of f depend on each other, or f changes from call to call; pass batched=False if the first axis of z "
        "is not a batch or f looks at all of it, take layers in evaluation mode, and keep random numbers fixed"
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class Solution(Shown, BatchSolution):
    """The result of one solve; `repr` is a line, a notebook shows a table, `plot` draws the residuals.

    Attributes
    ----------
    z0 : array, shape (batch, ...), or tree of such arrays
        The initial guess.
    z : like z0
        The converged iterate of each sample, or its best finite one.
    residual : like z0
        f(z) − z at that iterate.
    status : tuple of Status, length batch
    residual_norm : ndarray, shape (batch,)
        Norm of `residual`, in the norm of the convergence test.
    steps : ndarray of int, shape (batch,)
        Steps taken until the sample was finished, those of all solvers that tried.
    nfe, njvp, nvjp : int
        Evaluations of f, of J·v and of Jᵀ·w; one evaluation is one call on the batch, or on what is left of it.
    sample_nfe : int
        Evaluations of f of single samples: nfe times the size of the batch, less what was saved by removing finished
        samples from it.
    trace : ndarray, shape (steps + 1, batch)
        Residual norms, the initial guess first. A finished sample repeats its last entry. The rows of fallbacks
        follow, those of each beginning with the initial guess again.
    solver : str
        The solver with its options.
    fallbacks : tuple of str
        The further solvers that were needed, in their order.
    attempt : ndarray of int, shape (batch,)
        Whose result z is: 0 for the solver's, k for that of the k-th fallback.
    options : SolveOptions
        The tolerances and limits of the solve.
    state : object
        The solver's last state, for adjoints that reuse it; it has a batch axis in any case. It knows nothing of
        samples that a fallback solved, those of `attempt` > 0.
    batched : bool
        False if the arrays have no batch axis; there is then one status, and one entry per sample elsewhere.
    """

    z0: Tree = field(repr=False)
    z: Tree = field(repr=False)
    residual: Tree = field(repr=False)
    status: tuple[Status, ...]
    residual_norm: np.ndarray
    steps: np.ndarray
    sample_nfe: int
    trace: np.ndarray = field(repr=False)
    solver: str
    options: SolveOptions = field(repr=False)
    state: Any = field(default=None, repr=False)
    batched: bool = True
    fallbacks: tuple[str, ...] = ()
    attempt: np.ndarray

    @property
    def solved_by(self) -> tuple[str, ...]:
        """The solver whose result each sample's z is, with its options."""
        solvers = (self.solver, *self.fallbacks)
        return tuple(solvers[index] for index in self.attempt)

    @property
    def converged(self) -> np.ndarray:
        """Which samples converged: bool, shape (batch,)."""
        return ~self.failed

    def __str__(self) -> str:
        worst = float(np.max(self.residual_norm, initial=0.0))
        return (
            f"Solution({self._solvers}: {self.converged.sum()} of {len(self.status)} converged, "
            f"{int(np.max(self.steps, initial=0))} steps, {self.nfe} evaluations, residual {worst:.2e})"
        )

    def facts(self) -> Mapping[str, object]:
        """Return a solve's outcome and what it cost."""
        return {
            "solver": self._solvers,
            "samples": tally(status.label for status in self.status),
            "z": shape_of_tree(self.z),
            "steps": spread(self.steps),
            "residual": spread(self.residual_norm, ".2e"),
            "evaluations of f": self.nfe,
            "products J·v": self.njvp,
            "products Jᵀ·w": self.nvjp,
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the residual of each sample over the steps, those that failed in orange, and return the Matplotlib axes.

        Raises
        ------
        UserError
            If Matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        plot_traces(ax, self.trace, self.converged)
        ax.set(xlabel="step", ylabel="‖f(z) − z‖", title=self.solver.partition("(")[0])
        return ax

    @property
    def _solvers(self) -> str:
        return ", then ".join((self.solver, *self.fallbacks))

    def failure_report(self) -> str:
        """Describe in one sentence each way in which samples failed, with the evidence."""
        failed = self.failed
        return (
            f"{self._solvers} left {failed.sum()} of {failed.size} samples unconverged: {failure_reasons(self.status)} "
            f"(residual up to {np.max(self.residual_norm[failed], initial=0.0):.2e} after "
            f"{int(np.max(self.steps[failed], initial=0))} steps, {self.nfe} evaluations{self._growth()})"
        )

    def _growth(self) -> str:
        """Say what grew in the samples that diverged."""
        diverged = np.array([status is Status.DIVERGED for status in self.status], dtype=bool)
        if not diverged.any():
            return ""
        with np.errstate(all="ignore"):
            growth = np.max(self.trace[:, diverged] / self.trace[0, diverged], initial=1.0)
        # What else diverges is z, while its residual has hardly fallen.
        return "; z grew, its residual did not fall" if growth < GROWTH else f"; the residual grew {growth:.0e}-fold"


def failure_reasons(statuses: Iterable[SampleStatus]) -> str:
    """Return how often each failure occurs and what it means, the most frequent first; empty where there is none."""
    counts = Counter(status for status in statuses if not status.success)
    return "; ".join(f"{count} × {status.value}" for status, count in counts.most_common())


class ConvergenceError(UnsolvedError):
    """A solve that was told to raise did not converge for every sample; `solution` holds what it reached."""


class ConvergenceWarning(UnsolvedWarning):
    """A solve that was told to warn did not converge for every sample."""
