"""The multiscale cell: its formula, its gradient, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ImplicitAdjoint, Picard, Sensitivity, Solver, Status, Unrolled, fixed_point, ops
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Dense
from equilib.layers.pass_constants import prepare
from equilib.models import DeepEquilibrium, InjectedCell, LayerGuess, MultiScaleCell, MultiScaleDEQ, MultiScaleSkipDEQ
from equilib_anderson.solver import Anderson
from equilib_broyden.full import Broyden
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.models.derivatives import largest_error, slopes_by_differences
from tests.models.multiscale_networks import LABELS, NETWORKS, VECTORS, Scales, converging, loss_of
from tests.models.networks import (
    GUESSES,
    TIGHT,
    dense_jacobian,
    exactly,
    largest_difference,
)

every_network = pytest.mark.parametrize("network", NETWORKS, ids=str)


def step_by_hand(cell: MultiScaleCell, params: Any, z: tuple[Any, Any], u: Any) -> tuple[Any, ...]:
    """Return the next scales: each layer by itself, no flat state."""
    h = (cell.first.step(params["first"], z[0], u), cell.rest[0](params["rest"][0], z[1]))
    sums = []
    for i in range(2):
        terms = [cell.mapping[j][i](params["mapping"][j][i], h[j]) for j in range(2) if cell.mapping[j][i] is not None]
        sums.append(terms[0] if len(terms) == 1 else ops.add(*terms))
    if cell.fuse is None:
        return tuple(sums)
    return tuple(layer(own, each) for layer, own, each in zip(cell.fuse, params["fuse"], sums, strict=True))


def zeros(network: Scales) -> tuple[np.ndarray, ...]:
    """Return a state of zeros for the network's batch."""
    return tuple(np.zeros((len(network.x), *shape)) for shape in network.cell.shapes)


# --- the formula


@every_network
def test_the_cell_is_its_formula(network: Scales, rng: np.random.Generator):
    """A step of the flat state is the step of the tuple; the injection enters scale 0 alone; split undoes join."""
    cell, params = network.cell, network.params()["deq"]["cell"]
    z = tuple(rng.standard_normal(part.shape) for part in zeros(network))
    flat = cell.join(z)
    assert flat.shape == (2, sum(part[0].size for part in z))
    for part, again in zip(z, cell.split(flat), strict=True):
        np.testing.assert_array_equal(part, again)
    u = cell.inject(params, network.x)
    found = cell.split(cell.step(params, flat, u))
    for one, other in zip(found, step_by_hand(cell, params, z, u), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(cell.zeros(params, u), np.zeros_like(flat))
    assert cell.zeros(params, u.astype(np.float32)).dtype == np.float32


@every_network
def test_the_output_is_a_tuple_of_scales(network: Scales):
    """z* is flat, `output` has one array for each scale, and the head of a chain gets it."""
    model, params = network.model(), network.params()
    prediction, found = model(params, network.x)
    assert found.status == (Status.CONVERGED,) * 2
    assert [part.shape[1:] for part in found.output] == list(network.cell.shapes)
    np.testing.assert_array_equal(network.cell.join(found.output), found.z)
    np.testing.assert_array_equal(prediction, model.after(params["after"], found.output))
    u = network.cell.inject(params["deq"]["cell"], np.tanh(network.x))
    for part, again in zip(
        found.output, step_by_hand(network.cell, params["deq"]["cell"], found.output, u), strict=True
    ):
        np.testing.assert_allclose(part, again, atol=1e-11)


@pytest.mark.parametrize("solver", [Picard(), Anderson(), Broyden(), NewtonGMRES()], ids=str)
@every_network
def test_every_solver_finds_the_same_fixed_point(network: Scales, solver: Solver):
    """Solvers see one flat state, so any of them serves."""
    params = network.params()
    found = network.model(solver=solver)(params, network.x)[1]
    assert found.status == (Status.CONVERGED,) * 2
    np.testing.assert_allclose(found.z, network.model()(params, network.x)[1].z, atol=1e-10)


@every_network
def test_samples_do_not_influence_each_other(network: Scales):
    """A sample alone, or beside one of nan, has the fixed point it has in company."""
    model, params = network.model("regdeq"), network.params("regdeq")
    model = replace(model, deq=replace(model.deq, options=replace(TIGHT, on_failure="record")))
    together = model(params, network.x)[1].z
    np.testing.assert_allclose(model(params, network.x[:1])[1].z, together[:1], rtol=1e-9, atol=1e-11)
    ill = network.x.copy()
    ill[1] = np.nan
    found = model(params, ill)[1]
    assert found.status == (Status.CONVERGED, Status.NONFINITE)
    np.testing.assert_allclose(found.z[0], together[0], rtol=1e-9, atol=1e-11)


@every_network
def test_every_array_library_gives_the_same_gradient(network: Scales, xp: ModuleType):
    """Loss and gradient on strict arrays are NumPy's."""
    model, both = network.model("skipdeq"), (network.params("skipdeq"), network.x)
    expected, reference = value_and_grad(lambda each: loss_of(model, each))(both)
    labels = lift(xp, LABELS)
    value, grad = value_and_grad(lambda each: _loss(model, each, labels))(lift(xp, both))
    assert float(value) == pytest.approx(float(expected), rel=1e-12)
    assert largest_difference(lower(grad), reference) < 1e-11


def _loss(model: Any, both: Any, labels: Any) -> Any:
    prediction, found = model(*both)
    distance = ops.mean(ops.abs(ops.subtract(found.z0, found.z)))
    return ops.add(ops.cross_entropy(prediction, labels), ops.multiply(distance, 0.3))


# --- a fixed depth


@every_network
@pytest.mark.parametrize("guess", GUESSES)
def test_pretraining_is_a_loop_by_hand(network: Scales, guess: str):
    """Three updates at a fixed depth of 4 give the parameters of a loop over tuples, to rounding."""
    model = network.model(guess).unrolled(4)
    deq, start = model.deq, network.params(guess)

    def by_hand(params: Any) -> Any:
        own, x = prepare(network.cell, params["deq"]["cell"]), ops.tanh(network.x)
        u = network.cell.inject(own, x)
        z: Any = zeros(network)
        if guess == "regdeq":
            z = step_by_hand(network.cell, own, z, u)
        if guess == "skipdeq":
            z = network.guess(params["deq"]["initial_guess"], x)
        for _ in range(4):
            z = step_by_hand(network.cell, own, z, u)
        return ops.cross_entropy(model.after(params["after"], z), LABELS)

    def ours(params: Any) -> Any:
        return ops.cross_entropy(model(params, network.x)[0], LABELS)

    assert deq.fixed_depth == 4
    one = other = start
    for _ in range(3):
        (value, gradient), (expected, reference) = value_and_grad(ours)(one), value_and_grad(by_hand)(other)
        assert float(value) == pytest.approx(float(expected), rel=1e-13)
        one, other = (
            tree_map(lambda p, g: p - 0.1 * g, params, grad) for params, grad in ((one, gradient), (other, reference))
        )
    for a, b, before in zip(tree_leaves(one), tree_leaves(other), tree_leaves(start), strict=True):
        # The scales lie in one array here and in several there: where NumPy's vector loops end differs.
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14)
        assert not np.allclose(a, before, rtol=1e-6, atol=1e-9)


# --- gradients


@cache
def slopes(network: Scales, guess: str) -> Any:
    """Return the derivatives of the loss along a direction for each parameter array and the input."""
    model = network.model(guess)
    return slopes_by_differences(lambda both: loss_of(model, both), (network.params(guess), network.x))


@pytest.mark.parametrize(
    "sensitivity",
    [None, ImplicitAdjoint(), ImplicitAdjoint(Picard(), max_steps=300), Unrolled(80), Unrolled(80, checkpoints=None)],
    ids=str,
)
@every_network
@pytest.mark.parametrize("guess", GUESSES)
def test_the_gradient_is_that_of_differences(network: Scales, guess: str, sensitivity: Sensitivity | None):
    """Each exact adjoint agrees with central differences for every array of parameters and the input."""
    assert converging(network)
    model = network.model(guess, sensitivity=sensitivity)
    gradient = value_and_grad(lambda both: loss_of(model, both))((network.params(guess), network.x))[1]
    assert largest_error(gradient, slopes(network, guess)) < 1e-7


@every_network
def test_the_adjoint_is_that_of_dense_matrices(network: Scales):
    """The backward pass solves (I − J)ᵀ w = g with the Jacobian of the flat state, all scales together."""
    model, params = network.model(), network.params()
    records: list[Any] = []

    def loss(params: Any) -> Any:
        prediction, found = model(params, network.x)
        records.append(found)
        return ops.cross_entropy(prediction, LABELS)

    value_and_grad(loss)(params)
    (found,), own = records, params["deq"]["cell"]
    z, u = found.solution.z, network.cell.inject(own, np.tanh(network.x))
    J = dense_jacobian(lambda z: network.cell.step(own, z, u), z)
    head = lambda z: ops.cross_entropy(model.after(params["after"], network.cell.split(z)), LABELS)  # noqa: E731
    g = value_and_grad(head)(z)[1]
    np.testing.assert_allclose(found.adjoints[0].z.ravel(), exactly(J, g.ravel()), atol=1e-12)
    size = network.cell.split(np.zeros((1, z.shape[1])))[0].size
    across = J[:size, size : z.shape[1]]
    assert np.max(np.abs(across)) > 1e-3, "scales depend on each other"


def test_the_jacobian_is_regularized_over_all_scales(rng: np.random.Generator):
    """The estimate of ‖J‖² is that of the flat state's J, and its gradient that of differences."""
    network = NETWORKS[0]
    model, params = network.model("regdeq", jacobian_loss=True), network.params("regdeq")
    estimate = lambda both: model(*both, rng=np.random.default_rng(4))[1].jacobian_loss  # noqa: E731
    found = model(params, network.x, rng=np.random.default_rng(4))[1]
    own = params["deq"]["cell"]
    u = network.cell.inject(own, np.tanh(network.x))
    J = dense_jacobian(lambda z: network.cell.step(own, z, u), found.z)
    v = np.random.default_rng(4).standard_normal(found.z.shape).ravel()
    assert float(found.jacobian_loss) == pytest.approx(np.sum((J.T @ v) ** 2) / v.size, rel=1e-11)
    # The head has no part in it.
    inner = lambda both: estimate(({**both[0], "after": params["after"]}, both[1]))  # noqa: E731
    point = ({key: params[key] for key in ("before", "deq")}, network.x)
    gradient = value_and_grad(inner)(point)[1]
    assert largest_error(gradient, slopes_by_differences(inner, point)) < 1e-7


# --- names


def test_named_constructors_are_compositions():
    """MultiScaleDEQ starts at zero, MultiScaleSkipDEQ at layers or at one step; the other settings are the model's."""
    network = NETWORKS[0]
    assert MultiScaleDEQ(VECTORS, Picard(), jacobian_loss=True) == DeepEquilibrium(
        VECTORS, Picard(), jacobian_loss=True, options=MultiScaleDEQ(VECTORS, Picard()).options
    )
    for guess, layers in (("regdeq", None), ("skipdeq", network.guess.layers)):
        deq = MultiScaleSkipDEQ(VECTORS, NewtonGMRES(), layers, options=network.model().deq.options)
        params = network.params(guess)
        found = deq(params["deq"], np.tanh(network.x))
        np.testing.assert_array_equal(found.z, network.model(guess)(params, network.x)[1].z)


# --- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mapping": ((Chain(), Dense(4, 3)), (Dense(2, 4), Chain()))},
            r"mapping\[0\]\[1\], from scale 0 to scale 1, g",
        ),
        (
            {"mapping": ((Chain(), Dense(4, 2)), (Dense(3, 4), Chain()))},
            r"mapping\[1\]\[0\] cannot take scale 1, of sh",
        ),
        (
            {"rest": (Dense(2, 5),)},
            r"rest\[0\], from scale 1 to scale 1, gives samples of shape \(5,\), but scale 1 ha",
        ),
        ({"fuse": (Dense(4, 1), Chain())}, r"fuse\[0\], from scale 0 to scale 0, gives samples of shape \(1,\)"),
        ({"shapes": ((5,), (2,))}, r"the injection gives samples of shape \(4,\), but scale 0 has shape \(5,\)"),
        (
            {"first": InjectedCell(Dense(3, 4), Dense(4, 1), Dense(4, 2))},
            r"first gives samples of shape \(2,\), but sc",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: dict[str, Any], message: str, rng: np.random.Generator):
    """A layer that leads to another shape than its scale's is an error that says which layer and which scales."""
    deq = MultiScaleDEQ(replace(VECTORS, **change), Picard())
    with pytest.raises(ValueError, match=message) as caught:
        deq(deq.init(rng), np.ones((2, 3), dtype=np.float32))
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rest": ()}, "2 shapes need 2 branches, the first included, not 1"),
        ({"mapping": ((Chain(), None),)}, "2 scales need a mapping of 2 rows of 2"),
        ({"mapping": ((Chain(), None), (Chain(),))}, "2 scales need a mapping of 2 rows of 2"),
        ({"mapping": ((Chain(), None), (Chain(), None))}, "nothing leads to scale 1"),
        ({"fuse": (Chain(),)}, "2 scales need 2 fusing layers, not 1"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(change: dict[str, Any], message: str):
    """The numbers of scales must agree, and each scale be led to."""
    with pytest.raises(ValueError, match=message):
        replace(VECTORS, **change)


def test_a_guess_needs_an_array_for_each_scale(rng: np.random.Generator):
    """One array, too few of them, or one of another shape are no guess of a multiscale state."""
    x = np.ones((2, 3), dtype=np.float32)
    one = DeepEquilibrium(VECTORS, Picard(), LayerGuess(Dense(3, 6)))
    with pytest.raises(ValueError, match=r"a tuple of arrays: use LayerGuess\(Fork"):
        one(one.init(rng), x)
    for layers, message in (
        ((Dense(3, 4),), "the state has 2 scales, 1 were given"),
        ((Dense(3, 4), Dense(3, 3)), r"entry 1 gives samples of shape \(3,\), but scale 1 has shape \(2,\)"),
    ):
        deq = MultiScaleSkipDEQ(VECTORS, Picard(), layers)
        with pytest.raises(ValueError, match=message):
            deq(deq.init(rng), x)


@dataclass(frozen=True)
class Pair:
    """A cell whose state is a tuple."""

    def init(self, rng: np.random.Generator) -> Any:
        """Return no parameters."""
        return {}

    def inject(self, params: Any, x: Any) -> Any:
        """Return x."""
        return x

    def zeros(self, params: Any, u: Any) -> Any:
        """Return zeros twice."""
        return np.zeros((len(u), 4)), np.zeros((len(u), 4))

    def step(self, params: Any, z: Any, u: Any) -> Any:
        """Return the state."""
        return z


def test_a_tree_of_scales_is_solved_by_its_own_map(rng: np.random.Generator):
    """Split and joined in f, a tuple of scales has the fixed point and the gradient of the flat state."""
    params = tree_map(lambda leaf: 0.4 * leaf.astype(np.float64), VECTORS.init(rng))
    x = rng.standard_normal((3, 3))

    def flat(x: Any) -> Any:
        u = VECTORS.inject(params, x)
        return fixed_point(lambda z: VECTORS.step(params, z, u), VECTORS.zeros(params, u), rtol=1e-12)

    def tuple_of_scales(x: Any) -> Any:
        u = VECTORS.inject(params, x)
        step = lambda z: VECTORS.split(VECTORS.step(params, VECTORS.join(z), u))  # noqa: E731
        return VECTORS.join(fixed_point(step, VECTORS.split(VECTORS.zeros(params, u)), rtol=1e-12))

    one, other = (value_and_grad(lambda x, f=f: ops.sum(ops.sin(f(x))))(x) for f in (flat, tuple_of_scales))
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (lambda c, p, z: c.step(p, c.split(z), z[:, :4]), TypeError, r"z must be one array, .* got a tuple; take cell"),
        (lambda c, p, z: c.step(p, {"a": z}, z[:, :4]), TypeError, r"shape \(batch, 6\), got a dict"),
        (lambda c, p, z: c.step(p, z[:, :5], z[:, :4]), ValueError, r"shape \(batch, 6\), .* it has \(2, 5\)"),
        (lambda c, p, z: c.join(z), TypeError, r"a tuple of 2 arrays, got an array of shape \(2, 6\)"),
        (
            lambda c, p, z: replace(c, first=Pair()).zeros({"first": {}}, z),
            TypeError,
            "one array as its state, .* tuple",
        ),
    ],
    ids=["tuple", "dict", "width", "join", "branch"],
)
def test_what_is_no_flat_state_is_refused(wrong: Any, kind: type[Exception], message: str):
    """The state is one array, and the sentence tells how to make it of scales."""
    with pytest.raises(kind, match=message):
        wrong(VECTORS, VECTORS.init(np.random.default_rng(0)), np.zeros((2, 6)))
