"""Tensors that are seldom met in PyTorch: sparse, of inference mode, duals in a module, kept parametrizations, none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.embed.torch.cells import F64, TIGHT, Cell, drawn, f, iterated

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.autograd import forward_ad  # noqa: E402
from torch.nn.utils import parametrizations, parametrize  # noqa: E402

from equilib.torch import DeepEquilibrium, fixed_point, odeint  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script", "ignore:.*[Ss]parse")


def unrolled(cell: Any, x: Any) -> Any:
    """Return the fixed point of a cell by iterations whose graph PyTorch keeps."""
    z = torch.zeros_like(x)
    for _ in range(80):
        z = cell(z, x)
    return z


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_inputs(layout: str):
    """A sparse input that requires grad has the gradient of the dense one."""
    weight, x = drawn(grad=False)
    dense = weight.clone().requires_grad_()
    (expected,) = torch.autograd.grad(iterated(dense.T, x).sum(), dense)
    given = getattr(weight, layout)().requires_grad_()
    step = lambda z, weight, x: torch.tanh((weight @ z.T).T + x)  # noqa: E731
    z = fixed_point(step, torch.zeros_like(x), given, x, **TIGHT)
    (gradient,) = torch.autograd.grad(z.sum(), given)
    torch.testing.assert_close(gradient.to_dense(), expected)
    with pytest.raises(TypeError, match="dense inputs"):
        odeint(lambda t, y, weight: step(y, weight, x), x, [0.0, 1.0], given)


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_second_derivatives_beside_sparse_inputs(layout: str):
    """Second derivatives by x are those beside the dense weight, if the sparse one requires no grad."""
    weight, x = drawn(grad=False)
    x.requires_grad_()

    def twice(given: Any) -> Any:
        step = lambda z, weight, x: torch.tanh((weight @ z.T).T + x)  # noqa: E731
        z = fixed_point(step, torch.zeros_like(x), given, x, **TIGHT)
        (gradient,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), x)[0]

    torch.testing.assert_close(twice(getattr(weight, layout)()), twice(weight))


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.orthogonal])
def test_parametrizations_that_are_kept(wrap: Any):
    """Inside of `parametrize.cached` what a parametrization is made of has its gradient."""
    cell, (_, x) = Cell(), drawn(grad=False)
    wrap(cell.linear)
    step = lambda z, x: 0.5 * cell(z, x)  # noqa: E731
    parameters = list(cell.parameters())
    expected = torch.autograd.grad(unrolled(step, x).sum(), parameters)
    scaled = torch.nn.Module()
    scaled.cell, scaled.forward = cell, step
    for module in (step, scaled):
        with parametrize.cached():
            z = DeepEquilibrium(module, "anderson", rtol=1e-12, max_steps=100)(x)
        z.sum().backward()
        torch.testing.assert_close([each.grad for each in parameters], list(expected))
        cell.zero_grad()
    assert parametrize._cache_enabled == 0


def test_duals_in_a_module():
    """A module's weight may be replaced by a dual tensor: the fixed point has its tangent."""
    cell, (_, x) = Cell(), drawn(grad=False)
    weight = cell.linear.weight.detach()
    del cell.linear.weight
    with forward_ad.dual_level():
        cell.linear.weight = forward_ad.make_dual(weight, weight)
        found, expected = DeepEquilibrium(cell, **TIGHT)(x), unrolled(cell, x)
        torch.testing.assert_close(forward_ad.unpack_dual(found).tangent, forward_ad.unpack_dual(expected).tangent)


def test_tensors_of_inference_mode():
    """What was computed in inference mode is a constant elsewhere: as an initial guess, and as an input."""
    cell, (_, x) = Cell(), drawn(grad=False)
    layer = DeepEquilibrium(cell, **TIGHT)
    with torch.inference_mode():
        start, given = layer(x), x * 1
    expected = torch.autograd.grad(unrolled(cell, x).sum(), list(cell.parameters()))
    for solved in (layer(x, z0=start), layer(given)):
        torch.testing.assert_close(torch.autograd.grad(solved.sum(), list(cell.parameters())), expected)


def test_an_empty_axis_is_mapped():
    """`vmap` over no lanes returns none, with gradients of zero, of fixed points and of integrations."""
    weight, x = drawn(grad=False)
    none = torch.zeros(0, *x.shape, dtype=F64)
    layers = (
        lambda weight, x: fixed_point(f, torch.zeros_like(x), weight, x, **TIGHT),
        lambda weight, x: odeint(lambda t, y, weight: torch.tanh(y @ weight), x, [0.0, 1.0], weight)[-1],
    )
    for layer in layers:
        mapped = torch.func.vmap(layer, in_dims=(None, 0))
        assert mapped(weight, none).shape == none.shape
        gradient = torch.func.grad(lambda weight, mapped=mapped: mapped(weight, none).sum())(weight)
        assert torch.equal(gradient, torch.zeros_like(weight))
