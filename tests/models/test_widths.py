"""How wide a model computes: as its parameters say, or it is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Dense, Embedding, KaimingUniform
from equilib.models import (
    Autonomous,
    CellODE,
    DeepEquilibrium,
    DEQChain,
    Explicit,
    InjectedCell,
    NeuralODE,
    ODEChain,
    OneStepGuess,
)
from tests.arrays_under_test import lift

CELL = InjectedCell(Dense(3, 4), Dense(4, 4, initial_weight=KaimingUniform(gain=0.3)), Chain(ops.tanh))
DEQ = DeepEquilibrium(CELL, "anderson", OneStepGuess())
MODELS: dict[str, Any] = {
    "equilibrium": DEQ,
    "fixed depth": DEQ.unrolled(3),
    "chain": DEQChain(Dense(3, 3), DEQ, Dense(4, 1)),
    "explicit": Explicit(DEQ),
    "neural ODE": NeuralODE(Autonomous(Dense(3, 3)), "tsit5"),
    "cell as ODE": CellODE(CELL, "tsit5"),
    "chain with an ODE": ODEChain(Dense(3, 3), NeuralODE(Autonomous(Dense(3, 3)), "tsit5"), Dense(3, 1)),
}


def given(name: str, xp: Any, dtype: str, params: str = "float32") -> tuple[Any, Any, Any]:
    """Return a model, its parameters and an input, shape (5, 3), in dtypes."""
    rng = np.random.default_rng(0)
    own = MODELS[name].init(rng)
    return MODELS[name], lift(xp, own, params), xp.asarray((3 * rng.standard_normal((5, 3))).astype(dtype))


@pytest.mark.parametrize("name", MODELS)
def test_an_input_does_not_widen_a_model(name: str) -> None:
    """Called with float64 or int64 a model of float32 parameters says so, and does not compute in float64."""
    for dtype in ("float64", "int64"):
        model, params, x = given(name, np, dtype)
        if dtype == "int64" and name == "neural ODE":
            continue  # there x is the state, which must be of floating point
        sentence = f"x of {dtype} would turn a model of float32 into one of float64: give x as float32"
        with pytest.raises(ValueError, match=sentence):
            model(params, x)
    model, params, x = given(name, np, "float64", "float64")
    model(params, x)
    model, params, x = given(name, np, "float32")
    model(params, x)


def test_neither_on_other_libraries_nor_under_a_gradient(xp: Any) -> None:
    """The same holds for every library, and where parameters are traced."""
    model, params, x = given("chain", xp, "float64")
    with pytest.raises((ValueError, TypeError)):
        value_and_grad(lambda own: ops.mean(model(own, x)[0]))(params)
    model, params, x = given("chain", xp, "float32")
    value, _ = value_and_grad(lambda own: ops.mean(model(own, x)[0]))(params)
    assert value.dtype == x.dtype


def test_narrow_inputs_and_tokens_are_none(rng: np.random.Generator) -> None:
    """Half precision, bytes and the numbers of tokens leave a model of float32 what it is."""
    model, params, x = given("chain", np, "float32")
    for dtype in ("float16", "uint8", "int16"):
        assert model(params, np.abs(x).astype(dtype))[0].dtype == np.float32
    tokens = DEQChain(Chain(Embedding(9, 3)), DEQ, Dense(4, 1))
    assert tokens(tokens.init(rng), np.arange(5))[0].dtype == np.float32


def test_a_wide_constant_is_no_fault_of_the_input(rng: np.random.Generator) -> None:
    """Where x has the dtype of the parameters the sentence blames a constant of the model."""
    model = DeepEquilibrium(replace(CELL, injection=Chain(Dense(3, 4), lambda u: ops.add(u, np.zeros(4)))), "anderson")
    with pytest.raises(ValueError, match=r"a constant of float64 would turn a model of float32 .*: give it as float32"):
        model(model.init(rng), rng.standard_normal((5, 3)).astype("float32"))
