"""Networks with one equilibrium or one integration in them, and their explicit prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from equilib.adjoints.equilibrium import Equilibrium
from equilib.arrays import Array, Tree, array_namespace
from equilib.autodiff import static_value
from equilib.fixed_points.arguments import check_samples
from equilib.fixed_points.boundary import read_only
from equilib.fixed_points.solution import Status
from equilib.layers.observation import observes, observing, unobserved
from equilib.layers.pass_constants import with_draws, without_draws
from equilib.layers.protocol import Layer
from equilib.models.deq import DeepEquilibrium
from equilib.models.fitting_state import check_fitting, check_width
from equilib.models.initial_guess import ZeroGuess
from equilib.models.neural_ode import CellODE, NeuralODE
from equilib.models.random_cell import for_pass, joins
from equilib.models.sick_samples import by_sample
from equilib.ode.evolution import Evolution
from equilib.options.kinds import check_kind, check_params

_OWN = "hold it in an attribute or a child, and give what holds it a method observe(params, x)"
_INSTEAD = "put it before or after, or take a GroupNorm or LayerNorm there"


@dataclass(frozen=True)
class DEQChain:
    """before → equilibrium → after, returning the prediction and the record of the solve together.

    Where the state joins several scales, `after` gets the tuple of them; `Merge` is a layer that takes it.
    """

    needs_rng: ClassVar[bool] = True  # a trainer passes `rng`; where nothing is drawn nothing changes

    before: Layer
    deq: DeepEquilibrium
    after: Layer

    def __post_init__(self) -> None:
        _check_layers(self.before, self.after)

    def unrolled(self, depth: int, *, checkpoints: int | None = None) -> DEQChain:
        """Return the same network with a fixed depth, as `DeepEquilibrium.unrolled`."""
        return replace(self, deq=self.deq.unrolled(depth, checkpoints=checkpoints))

    def loosened(self, factor: float) -> DEQChain:
        """Return the same network with tolerances `factor` times as large."""
        return replace(self, deq=self.deq.loosened(factor))

    def solvers(self) -> tuple[object, ...]:
        """Return what solves for its states: the solver, those that take over from it, and that of the adjoint."""
        return (self.deq.solver, *self.deq.fallback, getattr(self.deq.sensitivity, "solver", None))

    def warm_starts(self) -> tuple[str, ...]:
        """Return which of `start` and `adjoint_guess` a call can be given."""
        return self.deq.warm_starts()

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the three parts."""
        return {"before": self.before.init(rng), "deq": self.deq.init(rng), "after": self.after.init(rng)}

    def __call__(
        self,
        params: Tree,
        x: Array,
        *,
        rng: np.random.Generator | None = None,
        guess: Array | None = None,
        start: Array | None = None,
        adjoint_guess: Array | None = None,
    ) -> tuple[Array, Equilibrium]:
        """Return the prediction for x, shape (batch, ...), and the record; more in `DeepEquilibrium`."""
        x = _checked(params, x, "deq")
        features = _applied(self.before, with_draws(self.before, params["before"], x, rng), x)
        check_width(params, x, features)
        equilibrium = self.deq(params["deq"], features, rng=rng, guess=guess, start=start, adjoint_guess=adjoint_guess)
        after = with_draws(self.after, params["after"], x, rng)
        return _applied(self.after, after, equilibrium.output), equilibrium

    def observe(
        self, params: Tree, x: Array, *, rng: np.random.Generator | None = None, **given: Array | None
    ) -> tuple[tuple[Array, Equilibrium], Tree]:
        """Return what a call returns for x, shape (batch, ...), by its statistics, and the parameters, as `observing`.

        Raises ValueError if a `BatchNorm` is in the equilibrium.
        """
        x = _checked(params, x, "deq")
        drawn = with_draws(self.before, params["before"], x, rng)
        features, before = _observed(self.before, params["before"], drawn, x)
        check_width(params, x, features)
        with unobserved(self.deq, "an equilibrium", _INSTEAD):
            equilibrium = self.deq(params["deq"], features, rng=rng, **given)
        drawn = with_draws(self.after, params["after"], x, rng)
        prediction, after = _observed(self.after, params["after"], drawn, equilibrium.output)
        return (prediction, equilibrium), {**params, "before": before, "after": after}

    def explicit(self, params: Tree, x: Array) -> tuple[Array, Equilibrium]:
        """Return the prediction for x, shape (batch, ...), from the guess alone; raises what `Explicit` does."""
        x = _checked(params, x, "deq")
        features = self.before(params["before"], x)
        check_width(params, x, features)
        equilibrium = Explicit(self.deq)(params["deq"], features)
        return self.after(params["after"], equilibrium.output), equilibrium


@dataclass(frozen=True)
class ODEChain:
    """before → y(t₁) of a neural ODE → after, returning the prediction and the record of the integration together.

    Where the state joins several scales, `after` gets the tuple of them; `Merge` is a layer that takes it.
    """

    needs_rng: ClassVar[bool] = True  # a trainer passes `rng`; where nothing is drawn nothing changes

    before: Layer
    ode: NeuralODE | CellODE
    after: Layer

    def __post_init__(self) -> None:
        _check_layers(self.before, self.after)

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the three parts."""
        return {"before": self.before.init(rng), "ode": self.ode.init(rng), "after": self.after.init(rng)}

    def __call__(self, params: Tree, x: Array, *, rng: np.random.Generator | None = None) -> tuple[Array, Evolution]:
        """Return the prediction for x, shape (batch, ...), and the record; `rng` is for dropout, in training."""
        x = _checked(params, x, "ode")
        before, after = (with_draws(getattr(self, name), params[name], x, rng) for name in ("before", "after"))
        features = _applied(self.before, before, x)
        check_width(params, x, features)
        evolution = self.ode.evolve(params["ode"], features, self.ode.span, rng=rng)
        return _applied(self.after, after, evolution.output), evolution

    def observe(
        self, params: Tree, x: Array, *, rng: np.random.Generator | None = None
    ) -> tuple[tuple[Array, Evolution], Tree]:
        """Return what a call returns for x, shape (batch, ...), by its statistics, and the parameters, as `observing`.

        Raises ValueError if a `BatchNorm` is in the integration.
        """
        x = _checked(params, x, "ode")
        drawn, last = (with_draws(getattr(self, name), params[name], x, rng) for name in ("before", "after"))
        features, before = _observed(self.before, params["before"], drawn, x)
        check_width(params, x, features)
        with unobserved(self.ode, "an integration", _INSTEAD):
            evolution = self.ode.evolve(params["ode"], features, self.ode.span, rng=rng)
        prediction, after = _observed(self.after, params["after"], last, evolution.output)
        return (prediction, evolution), {**params, "before": before, "after": after}


@dataclass(frozen=True)
class Explicit:
    """The initial guess of a deep equilibrium model as its output: nothing is solved (Pal et al. 2022, §3).

    It is worth something where training drew the guess to the fixed point. Its record has `MAX_STEPS` as every status,
    since no step was taken, and nan as residual, since f was not evaluated; `nfe` is 0 for a `LayerGuess`.

    Raises ValueError if the guess is zero for every input.
    """

    deq: DeepEquilibrium

    def __post_init__(self) -> None:
        if isinstance(self.deq.initial_guess, ZeroGuess):
            raise ValueError("a zero guess predicts nothing: train the model with a LayerGuess or a OneStepGuess")

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the model's parameters."""
        return self.deq.init(rng)

    def __call__(self, params: Tree, x: Array, *, rng: np.random.Generator | None = None) -> Equilibrium:
        """Return the initial guess for each sample of x, shape (batch, ...)."""
        guess = self.deq.initial_guess
        x = read_only(x)
        cell, own = for_pass(self.deq.cell, params["cell"], x, rng)
        z0 = guess(with_draws(guess, params["initial_guess"], x, rng), cell, own, x, cell.inject(own, x))
        check_fitting(own, x, z0)
        value, several = static_value(z0), joins(cell)
        return Equilibrium(
            z=z0,
            z0=z0,
            residual=array_namespace(value).full_like(value, float("nan")),
            residual_norm=np.full(value.shape[0], np.nan),
            status=(Status.MAX_STEPS,) * value.shape[0],
            nfe=guess.nfe,
            split=None if several is None else several.split,
        )


def _applied(layer: Layer, drawn: Tree, x: Array) -> Array:
    """Return layer(x), shape (batch, ...), of which a sample that is not finite spoils no other's derivative."""
    return by_sample(lambda x: layer(drawn, x), x)


def _observed(layer: Layer, params: Tree, drawn: Tree, x: Array) -> tuple[Array, Tree]:
    """Return `_applied` by statistics of the batch, where the layer has any, and the parameters with them."""
    if not observes(layer):
        with unobserved(layer, type(layer).__name__, _OWN):
            return _applied(layer, drawn, x), params
    result, moved = observing(layer, drawn, x)
    return result, without_draws(moved, params)


def _check_layers(before: Layer, after: Layer) -> None:
    check_kind(before, "before", "layer")
    check_kind(after, "after", "layer")


def _checked(params: Tree, x: Array, part: str) -> Array:
    """Return x, shape (batch, ...), read-only; `part` is what stands between `before` and `after`.

    Raises TypeError, ValueError if x has no samples or the parameters are not those of a chain.
    """
    check_params(params, "before", part, "after")
    check_samples(x)
    return read_only(x)
