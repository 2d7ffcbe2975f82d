"""Small networks with an equilibrium in them, in float64, and their gradients by explicit formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib import Sensitivity, SolveOptions, Solver, ops
from equilib.arrays.trees import tree_leaves, tree_map, tree_unflatten
from equilib.autodiff import linearize, stop_gradient, value_and_grad
from equilib.layers import Chain, Conv, Dense, Flatten, GroupNorm
from equilib.models import DeepEquilibrium, DEQChain, InitialGuess, InjectedCell, LayerGuess, OneStepGuess, ZeroGuess
from equilib.training.objectives import Classification
from equilib_newton_gmres.solver import NewtonGMRES

GUESSES = ("deq", "regdeq", "skipdeq")
TIGHT = SolveOptions(rtol=1e-13, atol=1e-14, max_steps=60)
OBJECTIVE = Classification()
CLASSES = 3


@dataclass(frozen=True, eq=False)
class Network:
    """A network before its solver is chosen, with parameters and one batch of data; `name` is for test ids."""

    name: str
    make: Callable[[str, Solver, Sensitivity | None], DEQChain]
    scale: float
    x: np.ndarray
    y: np.ndarray

    def __str__(self) -> str:
        return self.name

    def model(
        self, guess: str = "deq", solver: Solver | None = None, sensitivity: Sensitivity | None = None
    ) -> DEQChain:
        """Return the network with a kind of initial guess, a solver and a sensitivity."""
        return self.make(guess, NewtonGMRES() if solver is None else solver, sensitivity)

    def params(self, guess: str = "deq", seed: int = 1) -> Any:
        """Draw parameters in float64, biases and shifts too, so that no gradient is zero by chance."""
        rng = np.random.default_rng(seed)
        drawn = self.model(guess).init(rng)
        params = tree_map(lambda leaf: leaf.astype(np.float64) + 0.1 * rng.standard_normal(leaf.shape), drawn)
        cell = params["deq"]["cell"]
        cell["recur"] = tree_map(lambda leaf: self.scale * leaf, cell["recur"])
        return params


def _guess(kind: str, layer: Any) -> InitialGuess:
    return {"deq": ZeroGuess(), "regdeq": OneStepGuess(), "skipdeq": LayerGuess(layer)}[kind]


def _dense(guess: str, solver: Solver, sensitivity: Sensitivity | None) -> DEQChain:
    cell = InjectedCell(Dense(4, 5), Dense(5, 5), Chain(ops.tanh))
    deq = DeepEquilibrium(cell, solver, _guess(guess, Dense(4, 5)), sensitivity, TIGHT)
    return DEQChain(Chain(Dense(3, 4), ops.tanh), deq, Dense(5, CLASSES))


def _conv(guess: str, solver: Solver, sensitivity: Sensitivity | None) -> DEQChain:
    same = lambda inputs: Conv(inputs, 2, (3, 3), padding="same")  # noqa: E731
    cell = InjectedCell(Chain(same(1), GroupNorm(2, 1)), Chain(same(2), ops.tanh), Chain(ops.tanh))
    deq = DeepEquilibrium(cell, solver, _guess(guess, same(1)), sensitivity, TIGHT)
    return DEQChain(Chain(Conv(2, 1, (2, 2), stride=2), ops.gelu), deq, Chain(Flatten(), Dense(8, CLASSES)))


_rng = np.random.default_rng(5)
DENSE = Network("dense", _dense, 0.5, _rng.standard_normal((3, 3)), np.array([0, 2, 1]))
CONV = Network("conv", _conv, 0.7, _rng.standard_normal((2, 4, 4, 2)), np.array([2, 0]))
EXPANSIVE = Network("dense, expansive", _dense, -2.0, _rng.standard_normal((3, 3)), np.array([0, 2, 1]))


def loss_of(model: DEQChain, params: Any, x: Any, y: np.ndarray) -> Any:
    """Return cross-entropy + 0.01·MSE(z*, z0)."""
    prediction, equilibrium = model(params, x)
    return OBJECTIVE.loss(prediction, equilibrium, y)


def gradient(network: Network, model: DEQChain, params: Any) -> tuple[Any, Any, Any]:
    """Return the gradients with respect to the parameters and the input, and the record of the equilibrium."""
    kept = []

    def loss(both: Any) -> Any:
        prediction, equilibrium = model(both[0], both[1])
        kept.append(equilibrium)
        return OBJECTIVE.loss(prediction, equilibrium, network.y)

    _, (by_params, by_x) = value_and_grad(loss)((params, network.x))
    return by_params, by_x, kept[0]


def gradient_by_formula(network: Network, guess: str, params: Any, solve_adjoint: Callable[..., np.ndarray]) -> Any:
    """Return the gradient with respect to (params, x) with w = solve_adjoint(J, g), J being the whole batch's matrix.

    It is the derivative of ⟨w, f(z*; θ, x)⟩ + loss(z*, z0(θ, x); θ) at constant z* and w.
    """
    model = network.model(guess)
    deq = model.deq
    z = stop_gradient(model(params, network.x)[1].z)

    def parts(params: Any, x: Any) -> tuple[Any, Any, Any]:
        own, features = params["deq"]["cell"], model.before(params["before"], x)
        u = deq.cell.inject(own, features)
        return own, u, deq.initial_guess(params["deq"]["initial_guess"], deq.cell, own, features, u)

    def head(params: Any, x: Any, z: Any) -> Any:
        mse = ops.mse(z, parts(params, x)[2])
        return ops.add(ops.cross_entropy(model.after(params["after"], z), network.y), ops.multiply(mse, 0.01))

    def surrogate(both: Any) -> Any:
        own, u, _ = parts(*both)
        return ops.add(ops.sum(ops.multiply(deq.cell.step(own, z, u), w)), head(*both, z))

    own, u, _ = parts(params, network.x)
    J = dense_jacobian(lambda state: deq.cell.step(own, state, u), z)
    g = value_and_grad(lambda state: head(params, network.x, state))(z)[1]
    w = np.reshape(solve_adjoint(J, g.ravel()), z.shape)
    return value_and_grad(surrogate)((params, network.x))[1]


def dense_jacobian(f: Callable[[Any], Any], z: np.ndarray) -> np.ndarray:
    """Return ∂f/∂z as a matrix, column by column from J·v."""
    linear = linearize(f, z)
    return np.stack([linear.jvp(unit.reshape(z.shape)).ravel() for unit in np.eye(z.size)], axis=1)


def exactly(J: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return (I − J)⁻ᵀ g."""
    return np.linalg.solve((np.eye(len(g)) - J).T, g)


def nudged(tree: Any, step: float) -> Iterator[tuple[int, int, Any]]:
    """Yield, for each number in the tree, its leaf, its place in it, and the tree with that number moved by `step`."""
    leaves = tree_leaves(tree)
    for index, leaf in enumerate(leaves):
        for place in range(leaf.size):
            moved = leaf.copy()
            moved.ravel()[place] += step
            yield index, place, tree_unflatten(tree, [*leaves[:index], moved, *leaves[index + 1 :]])


def gradient_by_differences(f: Callable[[Any], float], tree: Any, step: float = 1e-4) -> Any:
    """Return the gradient of f by central differences, number by number."""
    found = tree_map(np.zeros_like, tree)
    leaves = tree_leaves(found)
    for sign in (1, -1):
        for index, place, moved in nudged(tree, sign * step):
            leaves[index].ravel()[place] += sign * float(f(moved)) / (2 * step)
    return found


def largest_difference(one: Any, other: Any) -> float:
    """Return max |one − other| / max(1, max |other|), over all leaves of two trees."""
    pairs = list(zip(tree_leaves(one), tree_leaves(other), strict=True))
    size = max(1.0, *(float(np.max(np.abs(b))) for _, b in pairs))
    return max(float(np.max(np.abs(a - b))) for a, b in pairs) / size
