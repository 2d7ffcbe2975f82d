"""Solves whose first evaluations are in a coarse dtype, by autocast."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from equilib.torch import DeepEquilibrium, equilibrium, fixed_point  # noqa: E402

SIZE, BATCH = 24, 5


class Recorded:
    """z ↦ tanh(z W + x), which notes where it was evaluated, and whether its product was cast."""

    def __init__(self, gain: float = 0.7) -> None:
        torch.manual_seed(0)
        weight, _ = torch.linalg.qr(torch.randn(SIZE, SIZE))
        self.weight = (gain * weight).requires_grad_()
        self.x = torch.randn(BATCH, SIZE)
        self.seen: list[tuple[Any, bool]] = []

    def __call__(self, z: Any) -> Any:
        """Return the next state."""
        product = z @ self.weight
        self.seen.append((z.detach().clone(), product.dtype is not torch.float32))
        return torch.tanh(product + self.x[: len(z)])

    def relative(self, z: Any) -> float:
        """Return the largest relative residual of a sample, in float32."""
        with torch.no_grad():
            return float(((self(z) - z).norm(dim=1) / z.norm(dim=1)).max())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("solver", ["picard", "anderson", "lbroyden", "broyden", "auto"])
def test_what_converged_is_as_exact_as_without(solver: str, dtype: Any):
    """First evaluations are coarse, the last ones are not, and the residual and gradient are those of float32."""
    f, how = Recorded(), {"solver": solver, "rtol": 1e-5, "criterion": "residual", "on_failure": "raise"}
    found = equilibrium(f, torch.zeros_like(f.x), coarse=dtype, **how)
    cast = [cast for _, cast in f.seen]
    assert cast[0]
    assert not any(cast[-2:])
    assert f.relative(found.z) <= 1.1e-5
    plain = equilibrium(f, torch.zeros_like(f.x), **how).z
    assert torch.allclose(found.z, plain, atol=1e-4)
    gradients = [torch.autograd.grad((z**2).sum(), f.weight)[0] for z in (found.z, plain)]
    assert torch.allclose(*gradients, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rtol", [0.3, 0.05, 0.02])
@pytest.mark.parametrize("criterion", ["residual", "distance"])
def test_no_coarse_evaluation_meets_a_tolerance(criterion: str, rtol: float):
    """However loose the tolerance is, f was evaluated as it is where each sample ended."""
    f, how = Recorded(), {"solver": "picard", "rtol": rtol, "criterion": criterion}
    with torch.no_grad():  # without the evaluation whose graph is kept
        z = fixed_point(f, torch.zeros_like(f.x), coarse=torch.bfloat16, **how)
    exact = [seen for seen, cast in f.seen if not cast]
    assert all(any(torch.equal(seen[row], z[row]) for seen in exact) for row in range(BATCH))
    assert f.relative(z) <= rtol


def test_what_overflows_is_evaluated_as_it_is():
    """Where float16 has no such numbers, float32 has, and the solve goes on."""
    f = Recorded()
    big = lambda z: torch.tanh(((1e3 * z) @ (1e3 * f.weight)) / 1e6 + f.x)  # noqa: E731
    found = equilibrium(big, torch.ones_like(f.x), solver="picard", coarse=torch.float16, rtol=1e-5)
    assert found.solution.converged.all()
    assert torch.allclose(found.z, fixed_point(f, torch.ones_like(f.x), solver="picard", rtol=1e-5), atol=1e-4)


def test_a_residual_that_rounding_keeps_up_ends_it():
    """Where coarse evaluations come no nearer, a few of them are enough."""
    f = Recorded()
    shift = 100 * torch.ones(BATCH, SIZE)

    def shifted(z: Any) -> Any:  # whose product is a hundred times as large as what it is for
        product = (z + shift) @ f.weight
        f.seen.append((z, product.dtype is not torch.float32))
        return torch.tanh(product - shift @ f.weight + f.x)

    found = equilibrium(shifted, torch.zeros_like(f.x), solver="picard", coarse=torch.bfloat16, rtol=1e-3)
    assert found.solution.converged.all()
    assert sum(cast for _, cast in f.seen) < len(f.seen) / 2


def test_samples_leave_the_batch():
    """Finished samples leave it where it is declared which inputs have its axis."""
    f, rates = Recorded(), torch.tensor([0.1, 0.2, 0.5, 0.9, 1.0])[:, None]
    step = lambda z, rate, x: torch.tanh(rate * (z @ f.weight) + x)  # noqa: E731
    how: dict[str, Any] = {"solver": "picard", "rtol": 1e-5, "batched_inputs": (True, True)}
    one, other = (equilibrium(step, torch.zeros_like(f.x), rates, f.x, coarse=c, **how) for c in (torch.bfloat16, None))
    assert one.solution.converged.all()
    assert len(set(one.solution.steps)) > 1
    assert torch.allclose(one.z, other.z, atol=1e-4)
    empty = fixed_point(step, torch.zeros(0, SIZE), rates[:0], f.x[:0], coarse=torch.bfloat16, **how)
    assert empty.shape == (0, SIZE)


def test_a_module_takes_it():
    """`DeepEquilibrium` hands it on, and shows it."""
    layer = DeepEquilibrium(lambda z, x: torch.tanh(0.5 * z + x), "picard", coarse=torch.bfloat16, rtol=1e-4)
    assert layer(torch.randn(3, 4)).dtype is torch.float32
    assert "coarse=torch.bfloat16" in repr(layer)
    with pytest.raises(TypeError, match="coarse must be"):
        DeepEquilibrium(torch.tanh, coarse="bfloat16")


@pytest.mark.parametrize(
    ("dtype", "state", "error", "words"),
    [
        ("bfloat16", torch.float32, TypeError, "got 'bfloat16'"),
        (torch.float32, torch.float32, ValueError, "got torch.float32"),
        (torch.bfloat16, torch.float64, ValueError, "it is in torch.float64"),
        (torch.bfloat16, torch.bfloat16, ValueError, "it is in torch.bfloat16"),
    ],
)
def test_another_dtype_is_refused(dtype: Any, state: Any, error: type[Exception], words: str):
    """A dtype that autocast does not know, and a state that it does not cast, are refused with a sentence."""
    with pytest.raises(error, match=words):
        fixed_point(torch.tanh, torch.zeros(2, 3, dtype=state), coarse=dtype)


@pytest.mark.parametrize("solver", ["anderson", "lbroyden"])
def test_coarse_evaluations_tell_no_slope(solver: str):
    """Beside a slow direction, the rounding of a coarse residual is not taken for the slope of f(z) − z."""
    torch.manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(SIZE, SIZE))
    rates, shares = torch.full((SIZE,), 0.3), torch.randn(BATCH, SIZE)
    rates[0], shares[:, 0] = 0.999, 0.03
    weight, x = (basis * rates) @ basis.T, shares @ basis.T
    how: dict[str, Any] = {"solver": solver, "rtol": 0.01, "max_steps": 150}
    found = equilibrium(lambda z: z @ weight + x, torch.zeros_like(x), coarse=torch.bfloat16, **how)
    exact = (shares / (1 - rates)) @ basis.T
    assert (found.z - exact).norm(dim=1).max() <= 0.1 * exact.norm(dim=1).max()


@pytest.mark.parametrize("how", ["a dtype", "an inner solve"])
def test_what_cannot_be_cast_is_evaluated_as_it_is(how: str):
    """Where f raises under autocast, by an operation without that dtype or an inner solve, it is never coarse."""
    f = Recorded()

    def step(z: Any) -> Any:
        if how == "a dtype":
            return torch.tanh(torch.zeros_like(z).index_copy_(1, torch.arange(SIZE), z @ f.weight) + f.x)
        inner = lambda u, z: torch.tanh(0.5 * u @ f.weight + z)  # noqa: E731
        return 0.5 * fixed_point(inner, torch.zeros_like(z), z, solver="picard", rtol=1e-5, on_failure="raise") + f.x

    with torch.no_grad():
        found, plain = (
            fixed_point(step, torch.zeros_like(f.x), solver="picard", rtol=1e-5, coarse=coarse)
            for coarse in (torch.bfloat16, None)
        )
    assert torch.allclose(found, plain, atol=1e-4)


def test_what_f_raises_is_what_it_raises_without():
    """A mistake in f is told as without coarse evaluations."""
    with pytest.raises(ValueError, match="keep the shape"):
        fixed_point(lambda z: z[:, :1], torch.zeros(2, 3), coarse=torch.bfloat16)
