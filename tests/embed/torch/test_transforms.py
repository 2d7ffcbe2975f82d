"""Fixed points inside of `torch.func`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from equilib import JacobianFree
from equilib.errors import NoDerivativeError
from tests.embed.torch.cells import F64, TIGHT, Cell, drawn, f, iterated

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap  # noqa: E402

from equilib.torch import DeepEquilibrium, equilibrium, fixed_point  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")


def given(weight: Any, x: Any, **how: Any) -> Any:
    """Return the fixed point of f with its inputs given."""
    return fixed_point(f, torch.zeros_like(x), weight, x, **{**TIGHT, **how})


def square(layer: Callable[..., Any]) -> Callable[..., Any]:
    """Return the sum of squares of a layer."""
    return lambda *arguments: layer(*arguments).pow(2).sum()


WEIGHT, X = drawn(grad=False)
SCALES = torch.tensor([0.3, 0.9, 1.2], dtype=F64)
WEIGHTS, XS = SCALES[:, None, None] * WEIGHT, SCALES[:, None, None] * X

USES: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "grad": lambda layer: grad(square(layer))(WEIGHT, X),
    "jacrev": lambda layer: jacrev(layer, (0, 1))(WEIGHT, X),
    "jacfwd": lambda layer: jacfwd(layer, (0, 1))(WEIGHT, X),
    "jvp": lambda layer: jvp(layer, (WEIGHT, X), (WEIGHT + 1, X - 1)),
    "vmap": lambda layer: vmap(layer)(WEIGHTS, XS),
    "vmap of one": lambda layer: vmap(layer, (None, 1))(WEIGHT, XS.transpose(0, 1)),
    "vmap of weights": lambda layer: vmap(layer, (0, None))(WEIGHTS, X),
    "vmap of vmap": lambda layer: vmap(vmap(layer, (None, 0)), (0, None))(WEIGHTS, XS),
    "vmap of grad": lambda layer: vmap(grad(square(layer), (0, 1)))(WEIGHTS, XS),
    "grad of vmap": lambda layer: grad(lambda w: square(vmap(layer, (None, 0)))(w, XS))(WEIGHT),
    "hessian": lambda layer: hessian(square(layer))(WEIGHT, X),
    "jacrev of jacrev": lambda layer: jacrev(jacrev(square(layer)))(WEIGHT, X),
    "jacrev of jacfwd": lambda layer: jacrev(jacfwd(square(layer)))(WEIGHT, X),
    "jacfwd of jacfwd": lambda layer: jacfwd(jacfwd(square(layer)))(WEIGHT, X),
}


def alike(one: Any, other: Any) -> bool:
    """Tell whether trees of tensors agree."""
    pairs = zip(*map(torch.utils._pytree.tree_leaves, (one, other)), strict=True)
    return all(torch.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in pairs)


@pytest.mark.parametrize("use", USES)
def test_transforms_are_those_of_iterations(use: str):
    """Every transform, and transforms of transforms, give what they give of iterations to rounding."""
    assert alike(USES[use](given), USES[use](iterated))


def test_modules_by_functional_call():
    """The parameters of a module are what `functional_call` puts there: gradients for each sample."""
    deq = DeepEquilibrium(Cell(), **TIGHT)
    parameters = {name: each.detach() for name, each in deq.named_parameters()}

    def loss(parameters: Any, x: Any) -> Any:
        return functional_call(deq, parameters, (x,)).pow(2).sum()

    found = vmap(grad(loss), (None, 0))(parameters, XS)
    for number, x in enumerate(XS):
        deq.zero_grad()
        deq(x).pow(2).sum().backward()
        assert alike({name: bar[number] for name, bar in found.items()}, {n: p.grad for n, p in deq.named_parameters()})


def test_a_trained_module_under_vmap():
    """A module is mapped over its inputs, and its parameters have the gradient of the sum."""
    deq = DeepEquilibrium(Cell(), **TIGHT)
    vmap(deq)(XS).pow(2).sum().backward()
    found = [each.grad.clone() for each in deq.parameters()]
    deq.zero_grad()
    deq(XS.flatten(0, 1)).pow(2).sum().backward()
    assert alike(found, [each.grad for each in deq.parameters()])


@pytest.mark.parametrize(
    "use",
    [
        lambda: vmap(lambda x: fixed_point(lambda z: f(z, WEIGHT, x), torch.zeros(2, 3, dtype=F64), **TIGHT))(XS),
        lambda: grad(lambda w: fixed_point(lambda z: f(z, w, X), torch.zeros_like(X), **TIGHT).sum())(WEIGHT),
        lambda: vmap(lambda x: given(x=x, weight=None) if x is None else fixed_point(Closing(), 0 * x, x))(XS),
    ],
    ids=["a mapped input", "a differentiated input", "a trained parameter"],
)
def test_closures_are_refused(use: Callable[[], Any]):
    """What a transform follows must be an input: a closure would be taken for a constant."""
    with pytest.raises(
        NoDerivativeError, match=r"inside of torch\.func .* over a tensor of shape \(\d, 3\) that .* input"
    ):
        use()


def test_a_closure_that_is_not_transformed_is_named_and_may_be_detached():
    """Of a parameter that is not transformed the sentence says that it requires grad; detached, it is a constant."""

    def loss(weight: Any) -> Any:
        return square(lambda x: fixed_point(lambda z, x: f(z, weight, x), torch.zeros_like(x), x, **TIGHT))

    weight = WEIGHT.clone().requires_grad_()
    with pytest.raises(
        NoDerivativeError, match=r"shape \(3, 3\) that requires grad: give it as an input, or, .*detach"
    ):
        grad(loss(weight))(X)
    assert alike(grad(loss(weight.detach()))(X), grad(square(lambda x: given(WEIGHT, x)))(X))


class Closing:
    """A map that is no module, and closes over a parameter that is trained."""

    weight = WEIGHT.clone().requires_grad_()

    def __call__(self, z: Any, x: Any) -> Any:
        """Return the next state."""
        return f(z, self.weight, x)


def test_first_order_adjoints():
    """An adjoint without second derivatives has its first one, and says that there are no more."""
    found = grad(square(lambda w: given(w, X, adjoint=JacobianFree())))(WEIGHT)
    weight = WEIGHT.clone().requires_grad_()
    given(weight, X, adjoint=JacobianFree()).pow(2).sum().backward()
    assert alike(found, weight.grad)
    with pytest.raises(NoDerivativeError, match="first derivatives in reverse mode only"):
        hessian(square(lambda w: given(w, X, adjoint=JacobianFree())))(WEIGHT)


APPROXIMATE = ("jacobian-free", "neumann:terms=3", "phantom:terms=2")


@pytest.mark.parametrize("adjoint", APPROXIMATE)
def test_jacobians_by_approximate_adjoints_have_a_gradient_in_each_row(adjoint: str):
    """`jacrev` maps over cotangents alone, which these adjoints take one after the other."""
    layer = lambda w, x: given(w, x, solver="picard", adjoint=adjoint)  # noqa: E731
    weight, x = drawn()
    rows = [torch.autograd.grad(layer(weight, x).flatten()[place], (weight, x)) for place in range(X.numel())]
    for whole, *each in zip(jacrev(layer, (0, 1))(WEIGHT, X), *rows, strict=True):
        assert torch.allclose(whole.flatten(0, 1), torch.stack(each))


@pytest.mark.parametrize("adjoint", [*APPROXIMATE, "unrolled"])
def test_a_mapped_solve_without_an_equation_for_its_derivative_is_refused(adjoint: str):
    """By the way out; around of vmap it has one."""
    layer = lambda w, x: given(w, x, solver="picard", adjoint=adjoint).sum()  # noqa: E731
    with pytest.raises(NoDerivativeError, match=r"inside of vmap a solve .* take adjoint='implicit', or diff"):
        vmap(grad(layer), (None, 0))(WEIGHT, XS)
    around = grad(lambda w: vmap(layer, (None, 0))(w, XS).sum())(WEIGHT)
    assert torch.allclose(around, sum(grad(layer)(WEIGHT, x) for x in XS))


def test_the_record_of_a_mapped_solve():
    """The solution of a mapped solve tells of all samples of all lanes."""
    seen = []

    def layer(x: Any) -> Any:
        found = equilibrium(f, torch.zeros_like(x), WEIGHT, x, **TIGHT)
        seen.append(found.solution)
        return found.z

    vmap(layer)(XS)
    assert len(seen[0].status) == 3 * len(X)
    assert seen[0].success
