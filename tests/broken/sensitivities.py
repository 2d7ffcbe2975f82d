"""Sensitivities of fixed points that break one law each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from equilib import ImplicitAdjoint, JacobianFree, Linearization, Needs, Pullback, Solution, Status, solve
from equilib.adjoints.equation import adjoint_problem, transposed
from equilib.arrays import array_namespace, samples_as_rows, tree_map
from equilib.numerics.affine import Affine
from tests.broken.fault import Fault, laws

Array = Any


@dataclass(frozen=True)
class Sound:
    """The implicit adjoint, to be broken."""

    needs: ClassVar[Needs] = Needs()

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Return the cotangents of the inputs."""
        return ImplicitAdjoint().pullback(problem, solution, cotangent)


def scaled(pulled: Pullback[Any], factor: Any) -> Pullback[Any]:
    """Return the cotangents times a factor."""
    start = None if pulled.start is None else pulled.start * factor
    return replace(pulled, inputs=tree_map(lambda leaf: leaf * factor, pulled.inputs), start=start)


@dataclass
class NotFrozen:
    """A dataclass, but not a frozen one."""

    needs: ClassVar[Needs] = Needs()
    pullback = Sound.pullback


@dataclass(frozen=True)
class Needless:
    """Needs that are not declared."""

    pullback = Sound.pullback


@dataclass(frozen=True)
class Doubled(Sound):
    """A factor that was forgotten."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Return twice the cotangents."""
        return scaled(super().pullback(problem, solution, cotangent), 2)


@dataclass(frozen=True)
class Clipped(Sound):
    """Large cotangents that are clipped."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Clip at 10, which a standard normal variable does not reach."""
        return super().pullback(problem, solution, array_namespace(cotangent).clip(cotangent, -10.0, 10.0))


@dataclass(frozen=True)
class Swallowing(Sound):
    """A gradient of zero where it is nan."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Replace what is not finite."""
        pulled = super().pullback(problem, solution, cotangent)

        def finite(leaf: Array) -> Array:
            xp = array_namespace(leaf)
            return xp.where(xp.isfinite(leaf), leaf, xp.zeros_like(leaf))

        return replace(pulled, inputs=tree_map(finite, pulled.inputs))


@dataclass(frozen=True)
class Normalizing(Sound):
    """A cotangent that is divided by its size, sample by sample."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Scale there and back."""
        xp = array_namespace(cotangent)
        size = xp.max(xp.abs(cotangent), axis=tuple(range(1, cotangent.ndim)), keepdims=True)
        return super().pullback(problem, solution, cotangent / size * size)


@dataclass(frozen=True)
class Widening(Sound):
    """Cotangents in float64."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Convert them."""
        pulled = super().pullback(problem, solution, cotangent)
        xp = array_namespace(cotangent)
        return replace(pulled, inputs=tree_map(lambda leaf: xp.astype(leaf, xp.float64), pulled.inputs))


@dataclass(frozen=True)
class Silent(Sound):
    """A solve that is not reported."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Drop the report."""
        return replace(super().pullback(problem, solution, cotangent), solves=())


@dataclass(frozen=True)
class Raising(Sound):
    """The forward policy, kept for the adjoint."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Solve, and raise where that fails."""
        linear = problem.linearize(solution.z)
        adjoint = solve(adjoint_problem(linear, cotangent), Affine(), cotangent, solution.options)
        return Pullback(inputs=linear.inputs_vjp(adjoint.z), solves=(adjoint,))


@dataclass(frozen=True)
class Masking(Sound):
    """Samples that are picked by multiplying with zeros and ones."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Pick all of them."""
        xp, rows = array_namespace(cotangent), samples_as_rows(cotangent)
        picked = xp.sum(xp.eye(rows.shape[0], dtype=rows.dtype)[:, :, None] * rows[None, :, :], axis=1)
        return super().pullback(problem, solution, xp.reshape(picked, cotangent.shape))


@dataclass(frozen=True)
class Averaging(Sound):
    """A mean over the batch, which is the loss's business."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Divide by the size of the batch."""
        return scaled(super().pullback(problem, solution, cotangent), 5 / cotangent.shape[0])


@dataclass(frozen=True)
class InPlace(Sound):
    """A cotangent that is overwritten."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Overwrite it at the end."""
        pulled = super().pullback(problem, solution, cotangent)
        cotangent *= 0.5
        return pulled


@dataclass(frozen=True)
class NumPyOnly(Sound):
    """NumPy's functions on whatever comes."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Call one of them."""
        return super().pullback(problem, solution, np.multiply(cotangent, 1.0))


@dataclass(frozen=True)
class HoldingALambda(Sound):
    """A function made inside another, on the sensitivity."""

    update: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "update", lambda w: w)


@dataclass(frozen=True)
class Transposed(Sound):
    """J for its transpose."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Solve w = J w + g."""

        def turned(f: Any, *at: Any) -> Linearization:
            linear = problem.derivatives(f, *at)
            return replace(linear, jvp=linear.vjp, vjp=linear.jvp)

        return super().pullback(problem.of(problem.f, turned, *problem.inputs), solution, cotangent)


@dataclass(frozen=True)
class Negated(Sound):
    """The sign of z − f(z)."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Return the cotangents with the other sign."""
        return scaled(super().pullback(problem, solution, cotangent), -1)


@dataclass(frozen=True)
class AtTheGuess(Sound):
    """A linearization at the initial guess."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Pull back at z0."""
        return super().pullback(problem, replace(solution, z=solution.z0), cotangent)


@dataclass(frozen=True)
class WithoutShared(Sound):
    """Zero for what the samples share."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Drop what has no batch."""
        pulled = super().pullback(problem, solution, cotangent)
        return replace(pulled, inputs=tree_map(lambda leaf: leaf if leaf.ndim else 0 * leaf, pulled.inputs))


@dataclass(frozen=True)
class FirstInput(Sound):
    """The first input's cotangent only."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Drop the others."""
        pulled = super().pullback(problem, solution, cotangent)
        return replace(pulled, inputs=pulled.inputs[:1])


@dataclass(frozen=True)
class OtherOrder(Sound):
    """The injection before the parameters."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Turn the inputs round."""
        pulled = super().pullback(problem, solution, cotangent)
        return replace(pulled, inputs=pulled.inputs[::-1])


@dataclass(frozen=True)
class Thresholding(Sound):
    """Cotangents that count as zero where they are small."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Drop what is below 1e-12."""
        xp = array_namespace(cotangent)
        return super().pullback(problem, solution, xp.where(xp.abs(cotangent) < 1e-12, 0 * cotangent, cotangent))


@dataclass(frozen=True)
class KeepingLarge(Sound):
    """The large cotangents of a sample only."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Drop what is below a hundredth of the sample's largest."""
        xp = array_namespace(cotangent)
        size = xp.max(xp.abs(cotangent), axis=tuple(range(1, cotangent.ndim)), keepdims=True)
        kept = xp.abs(cotangent) < 0.1 * size
        return super().pullback(problem, solution, xp.where(kept, 0 * cotangent, cotangent))


@dataclass(frozen=True)
class Forwarding(Sound):
    """The forward solve for its own."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Report what was given."""
        return replace(super().pullback(problem, solution, cotangent), solves=(solution,))


@dataclass(frozen=True)
class Understating(Sound):
    """Fewer products than were made."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Report one product."""
        pulled = super().pullback(problem, solution, cotangent)
        return replace(pulled, solves=tuple(replace(each, nfe=1, njvp=0, nvjp=0) for each in pulled.solves))


@dataclass(frozen=True)
class Claiming(Sound):
    """Success, whatever came."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Report samples that have converged."""
        pulled = super().pullback(problem, solution, cotangent)
        status = (Status.CONVERGED,) * cotangent.shape[0]
        return replace(pulled, solves=tuple(replace(each, status=status) for each in pulled.solves))


@dataclass(frozen=True)
class ManyAtATime(Sound):
    """A mean over the batch where that is large."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Divide in batches from 64 on."""
        return scaled(super().pullback(problem, solution, cotangent), 1.0 if cotangent.shape[0] < 64 else 0.5)


@dataclass(frozen=True)
class Remembering(Sound):
    """A gradient that is mixed with the last one."""

    last: list[Array] = field(default_factory=list, repr=False, compare=False)

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Shorten the gradient with each use."""
        self.last.append(cotangent)
        return scaled(super().pullback(problem, solution, cotangent), 1 - 1e-9 * len(self.last))


@dataclass(frozen=True)
class Probing(Sound):
    """A random probe of NumPy's global generator."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Draw a number for nothing."""
        np.random.random()  # noqa: NPY002
        return super().pullback(problem, solution, cotangent)


@dataclass(frozen=True)
class OverTheSolution(Sound):
    """A fixed point that is overwritten."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Overwrite it at the end."""
        pulled = super().pullback(problem, solution, cotangent)
        solution.residual[...] = 0.0
        return pulled


@dataclass(frozen=True)
class IgnoringTheGuess(Sound):
    """A guess that is asked for and not used."""

    needs: ClassVar[Needs] = Needs(guess=True)


@dataclass(frozen=True)
class TrustingTheGuess(Sound):
    """A guess that is taken for the answer."""

    needs: ClassVar[Needs] = Needs(guess=True)

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Return the guess's cotangents."""
        pulled = super().pullback(problem, solution, cotangent)
        inputs = pulled.inputs if guess is None else problem.linearize(solution.z).inputs_vjp(guess)
        return replace(pulled, inputs=inputs)


@dataclass(frozen=True)
class Sideways(JacobianFree):
    """A direction that has little to do with the gradient, where J is not zero."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Take each product Jᵀg for its neighbour's, and too large."""
        linear, xp = problem.linearize(solution.z), array_namespace(cotangent)
        turned = xp.roll(samples_as_rows(linear.vjp(cotangent)), 1, axis=1)
        return Pullback(inputs=linear.inputs_vjp(cotangent + 20 * xp.reshape(turned, cotangent.shape)))


@dataclass(frozen=True)
class Uphill(JacobianFree):
    """A cheap gradient with the wrong sign, where J is not zero."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Take w = g − 4 Jᵀg, which is g where J is zero."""
        linear = problem.linearize(solution.z)
        return Pullback(inputs=linear.inputs_vjp(cotangent - 4 * linear.vjp(cotangent)))


@dataclass(frozen=True)
class Swapped(Sound):
    """A solve for others with the products taken for their transposes."""

    def solve_adjoint(self, linear: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Solution:
        """Solve w = Jw + g."""
        return ImplicitAdjoint().solve_adjoint(transposed(linear), solution, cotangent)


DENSE = "agrees_with_the_dense_inverse"
VANISHING = "is_right_where_the_jacobian_vanishes"
COSINE = "points_along_the_gradient"
INPUTS = "forgets_no_input"
LINEAR = "is_linear_in_the_cotangent"
REPORTS = "reports_its_solve"
MANY = "treats_many_samples_separately"
SINGULAR = "does_not_raise_where_it_fails"

FAULTS = (
    Fault(NotFrozen(), "declares_its_options"),
    Fault(Needless(), "declares_its_options", laws("starts_from_a_guess")),
    Fault(HoldingALambda(), "goes_to_other_processes"),
    Fault(JacobianFree(), DENSE, laws(REPORTS)),
    Fault(Transposed(), DENSE, laws(REPORTS)),
    Fault(AtTheGuess(), DENSE, laws(REPORTS)),
    Fault(Doubled(), VANISHING, laws(DENSE)),
    Fault(Negated(), COSINE, laws(DENSE, VANISHING)),
    Fault(Sideways(), COSINE, declared={"exact": False}),
    Fault(Uphill(), COSINE, declared={"exact": False}),
    Fault(WithoutShared(), INPUTS, laws(DENSE)),
    Fault(FirstInput(), INPUTS),
    Fault(OtherOrder(), INPUTS),
    Fault(Clipped(), LINEAR),
    Fault(Thresholding(), LINEAR),
    Fault(KeepingLarge(), LINEAR, laws(DENSE, VANISHING, REPORTS)),
    Fault(Normalizing(), "sends_zero_to_zero"),
    Fault(Widening(), "returns_trees_like_the_inputs"),
    Fault(Silent(), REPORTS),
    Fault(Forwarding(), REPORTS),
    Fault(Understating(), REPORTS),
    Fault(Raising(), SINGULAR, laws(LINEAR)),
    Fault(Claiming(), SINGULAR),
    Fault(IgnoringTheGuess(), "starts_from_a_guess"),
    Fault(TrustingTheGuess(), "starts_from_a_guess"),
    Fault(Swapped(), "solves_both_equations"),
    Fault(Masking(), "a_nan_stays_in_its_sample"),
    Fault(Swallowing(), "a_nan_stays_in_its_sample"),
    Fault(Averaging(), "treats_samples_separately", laws(DENSE, MANY)),
    Fault(ManyAtATime(), MANY),
    Fault(Remembering(), "keeps_nothing_on_itself"),
    Fault(Probing(), "keeps_nothing_on_itself"),
    Fault(InPlace(), "changes_no_array_in_place", laws("keeps_nothing_on_itself")),
    Fault(OverTheSolution(), "changes_no_array_in_place"),
    Fault(NumPyOnly(), "runs_on_other_arrays"),
)
"""Each with the law that names its fault; what else it fails is in `also`."""
