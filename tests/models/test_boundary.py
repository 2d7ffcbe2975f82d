"""What a cell may do, and wrong arguments of a model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from equilib import ImplicitAdjoint, Picard, SolveOptions, ops
from equilib.autodiff import value_and_grad
from equilib.errors import UserError
from equilib.layers import Chain, Dense, glorot_uniform
from equilib.models import Autonomous, CellODE, DeepEquilibrium, DEQChain, InjectedCell, NeuralODE, OneStepGuess
from equilib.ode.adjoints import Interpolating
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from tests.models.small import CELL, batch, drawn

DEPTHS = ({}, {"fixed_depth": 3}, {"fixed_depth": 3, "checkpoints": 2})
every_depth = pytest.mark.parametrize("depth", DEPTHS, ids=str)


@dataclass(frozen=True)
class InPlace(InjectedCell):
    """A cell that adds to its injection, its state or its parameters, or scales its input, in place."""

    what: str = "u"

    def inject(self, params: Any, x: Any) -> Any:
        """Return the injection."""
        if self.what == "x":
            x *= 2.0
        return super().inject(params, x)

    def step(self, params: Any, z: Any, u: Any) -> Any:
        """Return f(z, x)."""
        image = self.recur(params["recur"], z)
        if self.what == "u":
            u += image
        if self.what == "z":
            z *= 0.5
        if self.what == "params":
            params["recur"]["weight"] *= 0.5
        return ops.tanh(ops.add(image, u))


@every_depth
@pytest.mark.parametrize("what", ["u", "z", "params", "x"])
@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES()], ids=["picard", "newton-gmres"])
def test_a_cell_cannot_change_what_it_is_given(solver: Any, what: str, depth: dict[str, int], rng: np.random.Generator):
    """Injection, state, parameters and inputs are read-only; the caller's arrays stay as they were."""
    deq = DeepEquilibrium(InPlace(Dense(4, 5), Dense(5, 5), Chain(), what=what), solver, OneStepGuess(), **depth)
    params, x = drawn(deq), batch(rng)
    weight, before = params["cell"]["recur"]["weight"].copy(), x.copy()
    with pytest.raises(ValueError, match="read-only"):
        deq(params, x)
    np.testing.assert_array_equal(params["cell"]["recur"]["weight"], weight)
    np.testing.assert_array_equal(x, before)


@dataclass(frozen=True)
class Buffered(InjectedCell):
    """A cell that returns the same array each time, where nothing is traced."""

    def step(self, params: Any, z: Any, u: Any) -> Any:
        """Return f(z, x)."""
        value = super().step(params, z, u)
        if type(value) is not np.ndarray:
            return value
        buffer = BUFFERS.setdefault(value.shape, np.empty_like(value))
        buffer[...] = value
        return buffer


BUFFERS: dict[tuple[int, ...], np.ndarray] = {}


@every_depth
def test_a_cell_may_return_the_same_array_each_time(depth: dict[str, int], rng: np.random.Generator):
    """The record of a pass is its own: residual, fixed point, and those of the pass before."""
    parts = CELL.injection, CELL.recur, CELL.after
    kept, fresh = (DeepEquilibrium(kind(*parts), Picard(), **depth) for kind in (Buffered, InjectedCell))
    params, x, other = drawn(fresh), batch(rng), batch(rng)
    first = kept(params, x)
    kept(params, other)
    expected = fresh(params, x)
    np.testing.assert_array_equal(first.z, expected.z)
    np.testing.assert_array_equal(first.residual, expected.residual)
    assert np.any(first.residual)


@every_depth
def test_a_cell_must_keep_the_shape(depth: dict[str, int], rng: np.random.Generator):
    """Another number of features is named beside the state's, also in a loop that is traced."""
    deq = DeepEquilibrium(InjectedCell(Dense(4, 5), Chain(lambda z: ops.sum(z)), Chain(ops.sum)), Picard(), **depth)
    params, x = drawn(deq), batch(rng)
    for call in (deq, lambda params, x: value_and_grad(lambda p: ops.sum(deq(p, x).z))(params)):
        with pytest.raises(ValueError, match=r"f must keep the shape of z: \(3, 5\) became \(\)"):
            call(params, x)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"solver": 3}, "solver must be a solver, got an int"),
        ({"solver": Picard}, r"solver must be a solver, not a class; write Picard\(\.\.\.\)"),
        ({"solver": Tsit5()}, "solver must be a solver, got a Tsit5; .* SteadyState"),
        ({"solver": CELL}, "solver must be a solver, got an InjectedCell"),
        ({"fallback": (None,)}, "fallback must be a solver, got None"),
        ({"cell": InjectedCell}, "cell must be a cell, not a class"),
        ({"cell": Dense(4, 5)}, "cell must be a cell, got a Dense"),
        ({"cell": Picard()}, "cell must be a cell, got a Picard"),
        ({"sensitivity": 3}, "sensitivity must be a sensitivity, got an int"),
        ({"sensitivity": ImplicitAdjoint}, "sensitivity must be a sensitivity, not a class"),
        ({"options": 1e-6}, "options must be a SolveOptions, got a float"),
        ({"options": {"rtol": 1e-6}}, "options must be a SolveOptions, got a dict"),
        ({"adjoint": "gmres"}, "DeepEquilibrium has no option 'adjoint'; what it means is called 'sensitivity' here"),
    ],
    ids=range(13),
)
def test_parts_of_a_model(settings: dict[str, Any], sentence: str):
    """They are refused when the model is made, by a sentence that names the argument."""
    with pytest.raises(TypeError, match=f"^{sentence}"):
        DeepEquilibrium(**{"cell": CELL, "solver": Picard(), **settings})


@pytest.mark.parametrize("guess", [None, OneStepGuess()], ids=["zeros", "one step"])
def test_parts_of_a_cell_that_do_not_fit(guess: Any, rng: np.random.Generator):
    """The error names both shapes that InjectedCell cannot add."""
    deq = DeepEquilibrium(InjectedCell(Dense(4, 5), Dense(5, 3), Chain()), Picard(), *filter(None, [guess]))
    with pytest.raises(ValueError, match=r"^recur\(z\) has the shape \(3,\) .* where inject\(x\) has \(5,\): .* keep"):
        deq(drawn(deq), batch(rng))


FIELD = Autonomous(Dense(4, 4))


@pytest.mark.parametrize(
    ("make", "kind", "sentence"),
    [
        (
            partial(NeuralODE, None, Tsit5()),
            TypeError,
            "vector_field must be a vector field, got None; of a layer",
        ),
        (partial(NeuralODE, lambda t, y: y, Tsit5()), TypeError, "vector_field must be a vector field, got a function"),
        (partial(Autonomous, None), TypeError, "layer must be a layer, got None"),
        (partial(NeuralODE, FIELD, "tsit6"), UserError, "no integrator 'tsit6'. Did you mean 'tsit5'"),
        (partial(NeuralODE, FIELD, Tsit5(), "shine"), UserError, "adjoint 'shine' differentiates a fixed point"),
        (partial(NeuralODE, FIELD, Tsit5(), options={}), TypeError, "options must be an OdeOptions, got a dict"),
        (partial(NeuralODE, FIELD, Tsit5(), span=1.0), ValueError, "span must be two finite times, .*, got 1.0"),
        (partial(NeuralODE, FIELD, Tsit5(), span=(0, np.inf)), ValueError, "span must be two finite times"),
        (partial(NeuralODE, FIELD, Tsit5(), stops=0.5), ValueError, "stops must be finite times, .*, got 0.5"),
        (partial(CellODE, Dense(4, 5), Tsit5()), TypeError, "cell must be a cell, got a Dense"),
        (partial(CellODE, CELL, None), TypeError, "integrator must be an integrator, got None"),
        (partial(CellODE, CELL, Tsit5(), None), TypeError, "initial_guess must be an initial guess, got None"),
        (partial(CellODE, CELL, Tsit5(), span=[0, 1, 2]), ValueError, "span must be two finite times"),
    ],
    ids=range(13),
)
def test_parts_of_a_model_of_an_integration(make: Any, kind: type[Exception], sentence: str):
    """They are refused when the model is made."""
    with pytest.raises(kind, match=f"^{sentence}"):
        make()


def test_arguments_of_a_call_of_an_integration(rng: np.random.Generator):
    """What is no array, no parameters and no generator is named."""
    ode, cell = NeuralODE(FIELD, Tsit5()), CellODE(CELL, Tsit5())
    params, x = ode.init(rng), batch(rng)
    for wrong in (None, "x", [0.5], lambda: 0):
        with pytest.raises(TypeError, match=r"^x must be an array"):
            ode(params, wrong)
    with pytest.raises(TypeError, match=r"^params must be what init returns, got an array of .*; they come before x"):
        ode(x, params)
    with pytest.raises(TypeError, match=r"^rng must be a random generator, got an int"):
        ode(params, x, rng=0)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError,
        match=r"^params must be what init returns, a dict of .*, got an array of shape .*; they come before x",
    ):
        cell(x, x)


def test_arguments_of_a_call(rng: np.random.Generator):
    """So are parameters in the place of the batch, and a seed in that of the generator."""
    deq = DeepEquilibrium(CELL, Picard())
    params, x = drawn(deq), batch(rng)
    with pytest.raises(
        TypeError,
        match=r"^params must be what init returns, a dict of .*, got an array of shape .*; they come before x",
    ):
        deq(x, params)
    with pytest.raises(TypeError, match=r"^rng must be a random generator, got an int"):
        deq(params, x, rng=0)  # type: ignore[arg-type]
    for wrong in (None, "x", [0.5], [[0.5]], (each for each in "x"), 1.0):
        with pytest.raises(TypeError, match=r"^x must be an array, .* it has .*; of numbers make one by"):
            deq(params, wrong)
    with pytest.raises(ValueError, match=r"^x has \d samples and the state of the cell \d: .* as x\[None\]"):
        deq(params, x[0])
    with pytest.raises(ValueError, match="x needs a batch axis"):
        deq(params, np.array(1.0))
    for integrator, sensitivity, sentence in [
        (None, Interpolating(), "integrator must be an integrator, got None"),
        (Tsit5(), 3, "sensitivity must be a sensitivity, got an int"),
    ]:
        with pytest.raises(TypeError, match=f"^{sentence}"):
            CellODE(CELL, integrator, sensitivity=sensitivity)(params, x)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DEQChain(np.tanh, DeepEquilibrium(CELL, "picard"), Chain()), "before must be a layer.* make Chain"),
        (lambda: DEQChain(Chain(), DeepEquilibrium(CELL, "picard"), None), "after must be a layer, got None"),
        (lambda: InjectedCell(Dense(2, 2), Dense(2, 2), ops.tanh).init(np.random.default_rng(0)), ".* Chain.function"),
        (lambda: DeepEquilibrium(CELL, "picard", rtol=1e-3), r".*'rtol' of its own: write options=SolveOptions\(rtol"),
        (lambda: DeepEquilibrium(CELL, "picard", fallback="picard"), r"fallback expects a tuple of solvers"),
        (lambda: DeepEquilibrium(CELL, "picard", fixed_depth="3"), ".*'fixed_depth' expects an int >= 0, got the text"),
        (lambda: NeuralODE(FIELD, Tsit5(), rtol=1e-3), r".*'rtol' of its own: write options=OdeOptions\(rtol"),
        (lambda: glorot_uniform(np.random.default_rng(0), (2, 1.5)), r"parameters of shape \(2, 1.5\) are none"),
        *((lambda rng=rng: CELL.init(rng), "rng must be a random generator, got .*; make one") for rng in (None, 0)),
    ],
)
def test_mistakes_in_making_a_model(make: Any, sentence: str):
    """Functions in place of layers, options of a solve in place of the model's, sizes and seeds are named."""
    with pytest.raises((TypeError, ValueError), match=f"^{sentence}"):
        make()


@pytest.mark.parametrize("params", [None, {}, [], {"before": {}}, np.ones(3)])
def test_parameters_that_a_chain_does_not_have(params: Any, rng: np.random.Generator):
    """They are refused with the names of those that it has; so are lists of another length."""
    chain = DEQChain(Chain(), DeepEquilibrium(CELL, "picard"), Chain(ops.tanh))
    with pytest.raises(TypeError, match=r"^params must be what init returns, a dict of 'before', 'deq', 'after', got"):
        chain(params, batch(rng))
    field = NeuralODE(Autonomous(Chain(ops.tanh)), "tsit5")
    with pytest.raises(TypeError, match=r"^param(eter)?s must be what init returns"):
        field(params, batch(rng))


def test_an_adjoint_of_the_other_kind(rng: np.random.Generator):
    """Equilibria and integrations have their own; the backward pass says which problem it got."""
    deq = DeepEquilibrium(CELL, Picard(), sensitivity=Interpolating(), options=SolveOptions())  # type: ignore[arg-type]
    params, x = drawn(deq), batch(rng)
    with pytest.raises(TypeError, match="got a FixedPointProblem; the sensitivity is one of OdeProblems"):
        value_and_grad(lambda p: ops.sum(deq(p, x).z))(params)
