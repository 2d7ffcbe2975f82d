"""Fixed points whose states are trees: values, statuses and derivatives of any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import equilib
from equilib import FixedPointProblem, Status, equilibrium, fixed_point, ops, solve
from equilib.arrays import Node, register_nodes, tree_leaves, tree_map
from equilib.autodiff import linearize, value_and_grad
from tests.models.hessians import MODES, by_differences, off

_rng = np.random.default_rng(5)
A, B = 0.4 * _rng.standard_normal((2, 3)), 0.4 * _rng.standard_normal((3, 2))
X = _rng.standard_normal((3, 2))
Z0 = {"low": np.zeros((3, 2)), "high": (np.zeros((3, 3)), np.zeros(3))}
TIGHT: dict[str, Any] = {"rtol": 1e-12, "max_steps": 200}


def f(z: Any, w: Any, x: Any) -> Any:
    """Return two layers that see each other, and their mean product."""
    low, (high, mean) = z["low"], z["high"]
    return {
        "low": ops.tanh(high @ w["b"] + x),
        "high": (ops.sin(low @ w["a"]) + 0.1 * ops.expand_dims(mean, 1), 0.3 * ops.sum(low * low, axis=1)),
    }


def flat(z: Any, w: Any, x: Any) -> Any:
    """Return f of an array (batch, 6), in the order of the leaves."""
    found = f({"low": z[:, :2], "high": (z[:, 2:5], z[:, 5])}, w, x)
    return ops.concat([found["low"], found["high"][0], ops.expand_dims(found["high"][1], 1)], axis=1)


W = {"a": A, "b": B}
WEIGHTS = _rng.standard_normal((3, 6))


def loss_of(z: Any) -> Any:
    """Return a weighted sum of sines of a state."""
    parts = (z["low"], z["high"][0], ops.expand_dims(z["high"][1], 1))
    return ops.sum(ops.sin(ops.concat(list(parts), axis=1)) * WEIGHTS)


@pytest.mark.parametrize("solver", ["picard", "anderson", "broyden", "newton-gmres", "tsit5", "scipy:krylov", "auto"])
def test_a_tree_is_solved_as_the_array_of_its_elements(solver: str):
    """Value, counts and statuses are those of the array, of any solver; z, z0 and the residual are trees."""
    found = solve(lambda z: f(z, W, X), solver, Z0, max_steps=200)
    plain = solve(lambda z: flat(z, W, X), solver, np.zeros((3, 6)), max_steps=200)
    assert (found.nfe, found.njvp, found.status) == (plain.nfe, plain.njvp, plain.status)
    for tree, array in ((found.z, plain.z), (found.z0, plain.z0), (found.residual, plain.residual)):
        assert isinstance(tree["high"], tuple)
        np.testing.assert_array_equal(tree["low"], array[:, :2])
        np.testing.assert_array_equal(tree["high"][1], array[:, 5])


def test_each_sample_of_a_tree_has_its_own_status():
    """A sample that becomes nan leaves its batch mates their bits."""
    x = X.copy()
    x[1, 0] = np.nan
    found = solve(FixedPointProblem(f, W, x, batched_inputs=(False, True)), "picard", Z0, on_failure="record")
    assert [each is Status.CONVERGED for each in found.status] == [True, False, True]
    assert found.status[1] is Status.NONFINITE
    whole = solve(lambda z: f(z, W, X), "picard", Z0)
    np.testing.assert_array_equal(found.z["high"][0][[0, 2]], whole.z["high"][0][[0, 2]])


@pytest.mark.parametrize("adjoint", ["implicit", "implicit:solver=anderson", "unrolled:depth=60", "shine:refine=30"])
def test_gradients_are_those_of_a_dense_inverse_and_of_differences(adjoint: str):
    """w = (I − J)⁻ᵀ g by a dense matrix, and central differences, in float64."""
    solver = "broyden" if adjoint.startswith("shine") else "newton-gmres"
    how: dict[str, Any] = {"solver": solver, "adjoint": adjoint, **TIGHT}
    loss = lambda w: loss_of(fixed_point(f, Z0, w, X, **how))  # noqa: E731
    gradient = value_and_grad(loss)(W)[1]
    z = solve(lambda z: flat(z, W, X), "newton-gmres", np.zeros((3, 6)), **TIGHT).z
    by_z = linearize(lambda z: flat(z, W, X), z)
    jacobian = np.stack([by_z.jvp(each.reshape(3, 6)).ravel() for each in np.eye(18)], axis=1)
    g = (np.cos(z) * WEIGHTS).ravel()
    w = np.linalg.solve(np.eye(18) - jacobian.T, g).reshape(3, 6)
    (dense,) = linearize(lambda w: flat(z, w, X), W).vjp(w)
    tolerance = 1e-5 if adjoint.startswith("shine") else 1e-9
    for name in W:
        np.testing.assert_allclose(gradient[name], dense[name], rtol=tolerance, atol=tolerance)
    v = tree_map(lambda leaf: _rng.standard_normal(leaf.shape), W)
    step = 1e-5
    ends = [loss(tree_map(lambda a, b, s=s: a + s * b, W, v)) for s in (step, -step)]
    slope = sum(float(np.sum(gradient[name] * v[name])) for name in W)
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=max(tolerance, 1e-7))


def test_forward_mode_and_second_derivatives_of_a_tree():
    """J·v agrees with the gradient, and H·v in every mode with differences."""
    loss = lambda x: loss_of(fixed_point(f, Z0, W, x, solver="newton-gmres", **TIGHT))  # noqa: E731
    v = _rng.standard_normal(X.shape)
    slope = float(np.sum(value_and_grad(loss)(X)[1] * v))
    assert linearize(loss, X).jvp(v) == pytest.approx(slope, rel=1e-9)
    for multiply in MODES.values():
        assert off(multiply(loss, X, v), by_differences(loss, X, v)) < 1e-6


def test_records_of_a_tree_are_trees():
    """Adjoint and tangent solves have z like the state; the start may be traced."""
    records: list[Any] = []

    def loss(z0: Any) -> Any:
        records.append(equilibrium(f, z0, W, X, solver="picard", adjoint="unrolled:depth=3", **TIGHT))
        return loss_of(records[-1].z)

    gradient = value_and_grad(loss)(Z0)[1]
    assert gradient["high"][1].shape == (3,)
    assert np.any(gradient["low"] != 0)
    assert records[0].adjoints[0].z["high"][0].shape == (3, 3)
    found = equilibrium(f, Z0, W, X, **TIGHT)
    assert found.residual["low"].shape == (3, 2)


def test_a_tree_without_a_batch_is_one_system():
    """With batched=False leaves have any shape, none among them; aux is beside the tree."""

    def one(z: Any, a: Any) -> Any:
        return {"s": 0.5 * ops.cos(ops.sum(z["v"])), "v": 0.2 * z["s"] + a}, {"norm": ops.sum(z["v"] * z["v"])}

    z0 = {"s": np.array(0.0), "v": np.zeros((2, 2))}
    a = _rng.standard_normal((2, 2))
    run = lambda a: fixed_point(one, z0, a, batched=False, has_aux=True, solver="newton-gmres", **TIGHT)  # noqa: E731
    z, aux = run(a)
    assert z["s"].shape == ()
    assert float(aux["norm"]) == pytest.approx(float(np.sum(z["v"] ** 2)))
    loss = lambda a: run(a)[1]["norm"] + run(a)[0]["s"]  # noqa: E731
    v, step = _rng.standard_normal((2, 2)), 1e-6
    expected = (loss(a + step * v) - loss(a - step * v)) / (2 * step)
    assert float(np.sum(value_and_grad(loss)(a)[1] * v)) == pytest.approx(float(expected), rel=1e-7)


def test_products_of_ones_own_take_trees():
    """jvp, vjp and inputs_vjp are called with trees like z, and so is linearize."""
    f_of = lambda z, c: {"a": 0.5 * z["b"] + c, "b": 0.3 * z["a"]}  # noqa: E731
    jvp = lambda z, v, c: {"a": 0.5 * v["b"], "b": 0.3 * v["a"]}  # noqa: E731
    vjp = lambda z, w, c: {"a": 0.3 * w["b"], "b": 0.5 * w["a"]}  # noqa: E731
    c, z0 = np.ones((2, 2)), {"a": np.zeros((2, 2)), "b": np.zeros((2, 2))}
    problem = FixedPointProblem(f_of, c, jvp=jvp, vjp=vjp, inputs_vjp=lambda z, w, c: (w["a"],))
    np.testing.assert_allclose(solve(problem, "newton-gmres", z0, **TIGHT).z["a"], 1 / 0.85, rtol=1e-11)


def test_a_sensitivity_by_hand_is_for_arrays():
    """Its pullback says who takes trees."""
    problem = FixedPointProblem(lambda z, c: {"u": 0.5 * z["u"] + c}, 1.0)
    solution = solve(problem, "picard", {"u": np.zeros((2, 1))})
    with pytest.raises(TypeError, match=r"the fixed point is a tree, .*use equilib\.equilibrium"):
        equilib.ImplicitAdjoint().pullback(problem, solution, {"u": np.ones((2, 1))})


class Pair:
    """A container of another library."""

    def __init__(self, left: Any, right: Any) -> None:
        self.left, self.right = left, right


register_nodes(
    lambda value: (
        Node(("left", "right"), (value.left, value.right), lambda new: Pair(*new)) if isinstance(value, Pair) else None
    )
)


def test_containers_of_other_libraries_are_states():
    """A registered node is taken apart and rebuilt wherever trees are."""
    z0 = Pair(np.zeros((2, 2)), {"in": np.zeros((2, 1))})
    step = lambda z, x: Pair(0.5 * ops.tanh(z.left) + x.right, {"in": 0.1 * z.left[:, :1] + z.right["in"] / 2})  # noqa: E731
    x = Pair(None, np.ones((2, 2)))
    found = fixed_point(step, z0, x, **TIGHT)
    assert isinstance(found, Pair)
    assert len(tree_leaves(found)) == 2
    loss = lambda x: ops.sum(fixed_point(step, z0, x, **TIGHT).right["in"])  # noqa: E731
    gradient = value_and_grad(loss)(x)[1]
    assert isinstance(gradient, Pair)
    assert gradient.right.shape == (2, 2)
    with pytest.raises(ValueError, match="f must return a tree like z: the trees differ: a container"):
        solve(lambda z: (z.left, z.right), "picard", z0)


@pytest.mark.parametrize(
    ("z0", "change", "sentence"),
    [
        ({"a": np.zeros((2, 1)), "b": np.zeros((3, 1))}, None, r"z0 at 'b' has the shape \(3, 1\) .*one batch axis"),
        ({"a": np.zeros((2, 1)), "b": np.zeros((2, 1), "f")}, None, "z0 at 'b' has .* float32, at 'a'"),
        ({"a": np.zeros((2, 1)), "b": 0.0}, None, "z0 at 'b' must be an array"),
        ({}, None, "z0 must be an array"),
        ({"a": np.zeros(())}, None, r"z0 at 'a' has the shape \(\)"),
        ({"a": np.zeros((2, 1))}, lambda z: z["a"], "f must return a tree like z: the trees differ"),
        ({"a": np.zeros((2, 1))}, lambda z: {"a": z["a"][:, 0]}, r"f must keep the shape and dtype of z at 'a'"),
        ({"a": np.zeros((2, 1))}, lambda z: {"a": z["a"][:1]}, r"f must keep the shape and dtype of z at 'a'"),
    ],
)
def test_wrong_trees(z0: Any, change: Any, sentence: str):
    """Each is answered by one sentence that names the leaf."""
    for call in (lambda f: solve(f, "picard", z0), lambda f: equilib.fixed_point(f, z0)):
        with pytest.raises((TypeError, ValueError), match=f"^{sentence}"):
            call(change or (lambda z: z))
