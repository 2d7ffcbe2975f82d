"""Adam does what its papers say, and refuses what it cannot do."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from equilib.arrays.trees import tree_leaves
from equilib.errors import UserError
from equilib.training.optimizers import Adam, Optimizer, clipped, global_norm, optimizer
from equilib_sgd.optimizer import SGD
from tests.arrays_under_test import lift, lower

STEPS = 6


def published_adam(theta: np.ndarray, gradients: list[np.ndarray], rate: float, adam: Adam) -> np.ndarray:
    """Return θ after Kingma & Ba 2015, algorithm 1, with the decay of Loshchilov & Hutter 2019, algorithm 2."""
    m = v = np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        m = adam.beta1 * m + (1 - adam.beta1) * g
        v = adam.beta2 * v + (1 - adam.beta2) * g**2
        m_hat = m / (1 - adam.beta1**t)
        v_hat = v / (1 - adam.beta2**t)
        decay = adam.weight_decay * theta if theta.ndim > 1 else 0.0
        theta = theta - rate * (m_hat / (np.sqrt(v_hat) + adam.epsilon) + decay)
    return theta


def trees(rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Return a kernel, a matrix and a vector in float64."""
    return {"layer": [rng.standard_normal(shape) for shape in ((3, 3, 2, 4), (4, 5), (5,))]}


@pytest.mark.parametrize(
    "adam", [Adam(), Adam(beta1=0.8, beta2=0.95, epsilon=1e-3), Adam(weight_decay=0.1)], ids=["plain", "other", "decay"]
)
def test_adam_is_the_published_algorithm(xp: ModuleType, rng: np.random.Generator, adam: Adam) -> None:
    """Several steps agree with the papers' pseudocode, leaf by leaf; vectors do not decay."""
    params = trees(rng)
    gradients = [trees(rng) for _ in range(STEPS)]
    given = lift(xp, params)
    state = adam.init(given)
    for gradient in gradients:
        given, state = adam.update(given, lift(xp, gradient), state, 0.02)
    assert state.count == STEPS
    for index, leaf in enumerate(lower(given)["layer"]):
        history = [gradient["layer"][index] for gradient in gradients]
        np.testing.assert_allclose(
            leaf, published_adam(params["layer"][index], history, 0.02, adam), rtol=1e-13, atol=1e-14
        )


def test_decay_is_decoupled_and_spares_vectors() -> None:
    """Without a gradient, matrices shrink by 1 − rate · decay in each step whatever the moments, and vectors stay."""
    params = {"weight": np.full((2, 3), 8.0), "bias": np.full(3, 8.0)}
    nothing = {"weight": np.zeros((2, 3)), "bias": np.zeros(3)}
    adam = Adam(weight_decay=0.5)
    state = adam.init(params)
    for _ in range(2):
        params, state = adam.update(params, nothing, state, 0.1)
    np.testing.assert_allclose(params["weight"], 8 * 0.95**2, rtol=1e-15)
    np.testing.assert_array_equal(params["bias"], 8.0)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_the_first_step_has_the_size_of_the_rate(rng: np.random.Generator, scale: float) -> None:
    """Bias correction makes the first step rate · sign(gradient), whatever the gradient's scale."""
    params, gradient = np.zeros(7), rng.choice([-1.0, 1.0], 7) * scale
    adam = Adam()
    new, _ = adam.update(params, gradient, adam.init(params), 0.01)
    np.testing.assert_allclose(new, -0.01 * np.sign(gradient), rtol=1e-3)


@pytest.mark.parametrize("rate", [0.01, np.float64(0.01)])
def test_float32_parameters_stay_float32(xp: ModuleType, rng: np.random.Generator, rate: float) -> None:
    """Neither Python's floats nor a NumPy scalar as rate widen parameters or moments."""
    params = lift(xp, trees(rng), "float32")
    adam = Adam(weight_decay=0.1)
    new, state = adam.update(params, params, adam.init(params), rate)
    for tree in (new, state.mean, state.square):
        assert {leaf.dtype.name for leaf in tree_leaves(lower(tree))} == {"float32"}


def test_an_update_leaves_its_arguments_alone(rng: np.random.Generator) -> None:
    """Parameters, gradient and state of before are what they were."""
    params, gradient = trees(rng), trees(rng)
    copies = [[leaf.copy() for leaf in tree_leaves(tree)] for tree in (params, gradient)]
    adam = Adam()
    state = adam.init(params)
    adam.update(params, gradient, state, 0.1)
    for tree, before in zip((params, gradient), copies, strict=True):
        for leaf, old in zip(tree_leaves(tree), before, strict=True):
            np.testing.assert_array_equal(leaf, old)
    assert all(not leaf.any() for leaf in tree_leaves((state.mean, state.square)))
    assert state.count == 0


def test_gradients_are_matched_by_name() -> None:
    """A gradient whose dict has another order reaches the same parameters; one of another structure is refused."""
    params = {"a": np.zeros(2), "b": np.zeros(2)}
    adam = Adam()
    new, _ = adam.update(params, {"b": np.ones(2), "a": -np.ones(2)}, adam.init(params), 0.1)
    np.testing.assert_allclose(new["a"], 0.1, rtol=1e-6)
    np.testing.assert_allclose(new["b"], -0.1, rtol=1e-6)
    with pytest.raises(ValueError, match="the trees differ"):
        adam.update(params, {"a": np.ones(2)}, adam.init(params), 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta1": 1.0}, r"'beta1' expects a float in \[0.0, 1.0\), got 1.0"),
        ({"beta2": -0.1}, r"'beta2' expects a float in \[0.0, 1.0\), got -0.1"),
        ({"beta1": float("nan")}, "beta1"),
        ({"epsilon": 0.0}, "'epsilon' expects a float > 0.0, got 0.0"),
        ({"weight_decay": -1.0}, "'weight_decay' expects a float >= 0.0, got -1.0"),
    ],
)
def test_parameters_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    """A decay of the moments outside [0, 1), an epsilon of zero and a negative weight decay are errors."""
    with pytest.raises(ValueError, match=message):
        Adam(**options)


def test_the_global_norm_is_that_of_all_elements(xp: ModuleType, rng: np.random.Generator) -> None:
    """It is the Euclidean norm of the leaves as one vector, and 0 for no leaf."""
    tree = trees(rng)
    everything = np.concatenate([leaf.ravel() for leaf in tree_leaves(tree)])
    assert global_norm(lift(xp, tree)) == pytest.approx(np.linalg.norm(everything), rel=1e-14)
    assert global_norm({}) == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_the_global_norm_shows_what_is_not_finite(value: float) -> None:
    """One element that is nan, infinite or too large for its square makes the norm not finite, without a warning."""
    assert not np.isfinite(global_norm([np.ones(3, np.float32), np.array([value], np.float32)]))


@pytest.mark.parametrize("limit", [None, 0.5, 1e3])
def test_a_clipped_gradient_keeps_its_direction(xp: ModuleType, rng: np.random.Generator, limit: float | None) -> None:
    """One that is longer than the limit gets that norm, to PyTorch's 1e-6, and its dtype stays; a shorter one stays."""
    gradient = trees(rng)
    norm = global_norm(gradient)
    found = lower(clipped(lift(xp, gradient, "float32"), norm, limit))
    factor = min(1.0, (limit or np.inf) / norm)
    for leaf, old in zip(found["layer"], gradient["layer"], strict=True):
        assert leaf.dtype == np.float32
        np.testing.assert_allclose(leaf, factor * old, rtol=2e-6)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (Adam(weight_decay=0.02), "AdamW", {"weight_decay": 0.02}),
        (Adam(beta1=0.8, beta2=0.9, epsilon=1e-4), "Adam", {"betas": (0.8, 0.9), "eps": 1e-4}),
        (SGD(momentum=0.8), "SGD", {"momentum": 0.8}),
        (SGD(momentum=0.8, nesterov=True), "SGD", {"momentum": 0.8, "nesterov": True}),
        (SGD(momentum=0.0), "SGD", {}),
    ],
    ids=["AdamW", "Adam", "momentum", "Nesterov", "plain"],
)
def test_steps_are_pytorchs(ours: Optimizer, theirs: str, options: dict, rng: np.random.Generator) -> None:
    """Ten updates by clipped gradients, at a rate that changes, end in the same parameters."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    params: list[np.ndarray] = [rng.standard_normal(shape) for shape in ((4, 3), (2, 2, 3))]
    tensors = [torch.tensor(each, requires_grad=True) for each in params]
    optimizer, state = getattr(torch.optim, theirs)(tensors, lr=0.1, **options), ours.init(params)
    for step in range(10):
        gradient = [rng.standard_normal(each.shape) for each in params]
        for tensor, each in zip(tensors, gradient, strict=True):
            tensor.grad = torch.tensor(each)
        torch.nn.utils.clip_grad_norm_(tensors, 2.5)
        optimizer.param_groups[0]["lr"] = rate = 0.1 / (step + 1)
        optimizer.step()
        params, state = ours.update(params, clipped(gradient, global_norm(gradient), 2.5), state, rate)
    for mine, other in zip(params, tensors, strict=True):
        np.testing.assert_allclose(mine, other.detach(), rtol=1e-12, atol=1e-12)


def test_an_optimizer_has_the_name_of_the_command_line() -> None:
    """A program gets by its name what `--optimizer` does, and mistakes are told alike."""
    assert optimizer("adamw", weight_decay=0.2) == optimizer("adamw:weight_decay=0.2") == Adam(weight_decay=0.2)
    with pytest.raises(UserError, match="Did you mean 'adam'"):
        optimizer("adamv")
    with pytest.raises(UserError, match="Did you mean 'momentum'"):
        optimizer("sgd", momentun=0.2)
