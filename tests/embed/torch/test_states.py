"""States of fixed points in PyTorch: tensors of any layout, trees, no batch, devices, and what is none."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from equilib import Status
from tests.embed.torch.cells import F64, TIGHT, drawn, f

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from equilib.torch import equilibrium, fixed_point, odeint  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")


def test_trees():
    """A state may be a tree of tensors with one batch axis: solved and differentiated as the joint system."""
    weight, x = drawn(batch=1, size=2)

    def step(z: Any, weight: Any, x: Any) -> Any:
        shifted = 0.2 * z["b"][1] + z["a"].mean(1)[:, None, None]
        return {"a": torch.tanh(z["b"][0] @ weight + x), "b": (0.3 * torch.sin(z["a"]), shifted)}

    def layer(weight: Any, x: Any) -> Any:
        empty = torch.zeros_like(x)
        z = fixed_point(step, {"a": empty, "b": (empty, empty[:, :1, None])}, weight, x, **TIGHT)
        return z["a"], z["b"][0], z["b"][1]

    assert gradcheck(layer, (weight, x), check_forward_ad=True)
    assert gradgradcheck(layer, (weight, x))


ORDERS: dict[str, tuple[Any, Any, Any]] = {
    "keys in another order": (
        lambda low, high: {"high": high, "low": low},
        lambda low, high: {"low": low, "high": high},
        lambda z: (z["low"], z["high"]),
    ),
    "keys within": (
        lambda low, high: [{"high": high, "low": {"b": low, "a": low}}],
        lambda low, high: [{"low": {"a": low, "b": low}, "high": high}],
        lambda z: (z[0]["low"]["b"], z[0]["high"]),
    ),
    "a list for a tuple": (lambda *z: z, lambda *z: list(z), tuple),
    "nothing in it": (
        lambda low, high: {"none": None, "low": low, "more": [None, high]},
        lambda low, high: {"more": [None, high], "low": low, "none": None},
        lambda z: (z["low"], z["more"][1]),
    ),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_leaves_are_known_by_their_place(kind: str):
    """What f returns has the leaves of z0 by keys and positions, in whatever order; None holds none. So in `odeint`."""
    start, returned, parts = ORDERS[kind]
    weight, x = drawn(batch=1, size=2)

    def step(z: Any, weight: Any, x: Any) -> Any:
        low, high = parts(z)
        return returned(0.5 * torch.sin(high) + 1, torch.tanh(low @ weight + x))

    def layer(weight: Any, x: Any) -> Any:
        return parts(fixed_point(step, start(torch.zeros_like(x), torch.zeros_like(x)), weight, x, **TIGHT))

    low, high = layer(weight, x)
    assert torch.allclose(low, 0.5 * torch.sin(high) + 1)
    assert torch.allclose(high, torch.tanh(low @ weight + x))
    assert gradcheck(layer, (weight, x))
    decay = lambda t, z: returned(-parts(z)[0], 0 * parts(z)[1])  # noqa: E731
    y = parts(odeint(decay, start(torch.ones(1, 2, dtype=F64), torch.ones(1, 2, dtype=F64)), [0.0, 1.0]))
    assert y[0][-1, 0, 0] < 0.5
    assert y[1][-1, 0, 0] == 1


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        ({"a": torch.zeros(1, 2)}, "the keys .'a', 'b'.* against a dict with the keys .'a'."),
        ({"a": torch.zeros(1, 2), "b": [torch.zeros(1, 2)]}, "at 'b': a tuple of 2 against a list of 1"),
        ({"a": torch.zeros(1, 2), "b": (torch.zeros(1, 2), None)}, r"None at \['b'\]\[1\]"),
        ({"a": torch.zeros(1, 2), "b": (torch.zeros(1, 2), 1.0)}, r"a float at \['b'\]\[1\]"),
    ],
    ids=["keys", "length", "None", "number"],
)
def test_another_tree_is_told_with_the_place(returned: Any, sentence: str):
    """Where what f returns differs from z0 is said."""
    z = torch.zeros(1, 2)
    with pytest.raises(
        TypeError, match=f"f must return what z0 is, a tree of 3 tensors, it returned a dict: .*{sentence}"
    ):
        fixed_point(lambda _: returned, {"a": z, "b": (z, z)})


@pytest.mark.parametrize("filled", [3.0, True, "a", np.ones(2), torch.zeros(1, 2), (), {}, [None], [torch.zeros(1, 2)]])
def test_where_z0_has_none_f_returns_none(filled: Any):
    """Whatever else f puts there is refused by its place, in each container and by each front."""
    z, where = torch.zeros(1, 2), r"(at \[1\]|at '1': nothing against a)"
    with pytest.raises(
        TypeError, match=f"f must return what z0 is, a tree of 1 tensors, it returned a tuple: .*{where}"
    ):
        fixed_point(lambda z: (0.5 * z[0] + 1, filled), (z, None))
    with pytest.raises(TypeError, match=r"what z0 is, a tree of 1 tensors, it returned a dict: .*'b'"):
        fixed_point(lambda z: {"b": filled, "a": 0.5 * z["a"] + 1}, {"a": z, "b": None})
    with pytest.raises(
        TypeError, match=f"f must return what y0 is, a tree of 1 tensors, it returned a tuple: .*{where}"
    ):
        odeint(lambda t, y: (-y[0], filled), (z, None), [0.0, 1.0])


def test_a_missing_tensor_is_told_by_its_own_place():
    """A None that z0 has elsewhere is not taken for the one that is wrong."""
    z = torch.zeros(1, 2)
    with pytest.raises(TypeError, match=r"None at \[2\]"):
        fixed_point(lambda z: (z[0], None, None), (z, None, z))


def test_one_system():
    """Without a batch axis all elements form one system, of which there is one status."""
    weight, x = drawn(batch=1, size=2)
    layer = lambda weight, x: fixed_point(f, torch.zeros(2, dtype=F64), weight, x[0], batched=False, **TIGHT)  # noqa: E731
    assert gradcheck(layer, (weight, x))
    assert gradgradcheck(layer, (weight, x))
    found = equilibrium(f, torch.zeros(2, dtype=F64), weight, x[0], batched=False, **TIGHT).solution
    assert (found.status, tuple(found.z.shape), found.batched) == ((Status.CONVERGED,), (2,), False)


def test_no_sample_and_one():
    """An empty batch has an empty fixed point and a gradient of zero; a batch of one is a batch."""
    weight, x = drawn()
    z = fixed_point(f, torch.zeros(0, 3, dtype=F64), weight, x[:0], **TIGHT)
    z.sum().backward()
    assert z.shape == (0, 3)
    assert not weight.grad.any()
    one = fixed_point(f, torch.zeros(1, 3, dtype=F64), weight, x[:1], **TIGHT)
    both = fixed_point(f, torch.zeros(2, 3, dtype=F64), weight, x, **TIGHT)
    assert torch.allclose(one, both[:1])


def test_channels_last_is_kept():
    """Images in channels last come to f as such, without a copy, and so does the result; values are the same."""
    conv = torch.nn.Conv2d(4, 4, 3, padding=1)
    with torch.no_grad():
        conv.weight *= 0.3
    x, seen = torch.randn(2, 4, 5, 6), []

    def step(z: Any, x: Any) -> Any:
        seen.append(z.is_contiguous(memory_format=torch.channels_last))
        return torch.tanh(conv(z) + x)

    last = x.to(memory_format=torch.channels_last)
    z = fixed_point(step, torch.zeros_like(last), last, solver="anderson", rtol=1e-6)
    assert all(seen)
    assert z.is_contiguous(memory_format=torch.channels_last)
    first = fixed_point(step, torch.zeros_like(x), x, solver="anderson", rtol=1e-6)
    assert torch.allclose(z, first, atol=1e-5)
    weights = 1e-3 * (1 + torch.arange(6.0)).expand(4, 5, 6).numpy()
    scaled = equilibrium(step, torch.zeros_like(last), last, solver="anderson", rtol=0.0, atol=weights).solution
    assert (np.abs(scaled.residual.detach().numpy()) / weights).mean() <= 1
    norm = lambda rows: rows.flatten(1).norm(dim=1) if rows.shape[1:] == (4, 5, 6) else None  # noqa: E731
    assert equilibrium(step, torch.zeros_like(last), last, solver="picard", norm=norm).solution.success


def test_states_are_not_copied_between_libraries():
    """On the CPU z lies in one memory for the solver and for f, whose result is not copied either."""
    weight, x = drawn(grad=False)
    seen = []

    def step(z: Any) -> Any:
        seen.append(z)
        return f(z, weight, x)

    from equilib.torch.bridge import Bridge

    array = np.zeros((2, 3))
    array.setflags(write=False)
    assert Bridge(x).tensor(array).data_ptr() == array.ctypes.data
    assert Bridge(x).array(x).ctypes.data == x.data_ptr()
    fixed_point(step, torch.zeros_like(x), **TIGHT)
    assert all(each.device == x.device for each in seen)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.view(),
        lambda x: x[:],
        lambda x: x[:1],
        lambda x: x[1:],
        lambda x: x[::-1],
        lambda x: x.T,
        lambda x: x[::-1, ::-1],
        lambda x: x.reshape(-1),
        lambda x: x.view(np.int64),
        lambda x: x[:, :0],
        lambda x: np.broadcast_to(x[:1], x.shape),
    ],
)
@pytest.mark.parametrize("writeable", [True, False])
def test_a_read_only_array_is_the_tensor_of_its_own_numbers(view: Any, writeable: bool):
    """A tensor of a read-only view begins where the view does, has its numbers, and PyTorch warns of nothing."""
    from equilib.torch.bridge import Bridge

    whole = np.arange(9.0).reshape(3, 3).copy()
    whole.setflags(write=writeable)
    array = view(whole)
    array.setflags(write=False)
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)  # PyTorch has no such strides
        array.setflags(write=False)
    tensor = Bridge(torch.zeros(1)).tensor(array)
    assert tensor.shape == array.shape
    assert tensor.data_ptr() == (array.ctypes.data if array.size else tensor.data_ptr())
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_tensors_elsewhere_stay_there():
    """A state that is not on the CPU is solved on tensors of its device: `meta` has no numbers to look at."""
    from equilib.torch.bridge import Bridge

    there = torch.zeros(2, 3, device="meta")
    assert not Bridge(there).on_host
    assert Bridge(there).array(there).device.type == "meta"
    with pytest.raises(TypeError, match="on the meta device, without numbers"):
        fixed_point(lambda z: z, there)


def test_finished_samples_leave_the_batch():
    """With inputs declared to have the batch axis f is evaluated on the unfinished samples only."""
    weight, x = drawn(batch=4, grad=False)
    x = x * torch.tensor([[0.0], [0.0], [1.0], [2.0]], dtype=F64)
    sizes = set()

    def step(z: Any, weight: Any, x: Any) -> Any:
        sizes.add(len(z))
        return f(z, weight, x)

    how = {"solver": "picard", "rtol": 1e-9, "atol": 1e-9, "max_steps": 100}
    found = equilibrium(step, torch.zeros_like(x), weight, x, batched_inputs=(False, True), **how)
    assert sizes == {2, 4}
    assert torch.equal(found.z, fixed_point(f, torch.zeros_like(x), weight, x, compact=0.0, **how))


def test_fallbacks_and_policies():
    """What the solver leaves is solved by the fallback; without one the policy says what happens."""
    step = lambda z: 2 - 1.5 * z  # noqa: E731
    z0 = torch.ones(2, 1, dtype=F64)
    found = equilibrium(step, z0, solver="picard", fallback=("newton-gmres",)).solution
    assert found.attempt.tolist() == [1, 1]
    assert torch.allclose(found.z, torch.full_like(z0, 0.8))
    assert not equilibrium(step, z0, solver="picard", on_failure="record").solution.success
    with pytest.raises(RuntimeError, match="left 2 of 2 samples unconverged"):
        fixed_point(step, z0, solver="picard", on_failure="raise")


X = torch.ones(2, 3)


def same(z: Any) -> Any:
    """Return z."""
    return z


WRONG: dict[str, tuple[type[Exception], str, Any]] = {
    "another shape": (ValueError, r"the shape of z: \(2, 3\) became \(1, 3\)", lambda: fixed_point(lambda z: z[:1], X)),
    "another dtype": (ValueError, r"dtype of z: .* became torch.float64", lambda: fixed_point(lambda z: z.double(), X)),
    "nothing": (TypeError, "is its return statement missing", lambda: fixed_point(lambda z: None, X)),
    "a change in place": (ValueError, "f changed z in place", lambda: fixed_point(lambda z: z.mul_(0.5), X)),
    "a change of an input": (
        ValueError,
        r"f changed an input of shape \(2, 3\) in place",
        lambda: fixed_point(lambda z, x: 0.5 * z + x.mul_(0.5), X, X.clone()),
    ),
    "a change of an input in a tree": (
        ValueError,
        "f changed an input of shape",
        lambda: fixed_point(lambda z, p: 0.5 * z + p["b"].mul_(0.5), X, {"a": 1, "b": X.clone().requires_grad_()}),
    ),
    "a change of an input of an integration": (
        ValueError,
        "f changed an input of shape",
        lambda: odeint(lambda t, y, x: x.mul_(0.5) - y, X, [0.0, 1.0], X.clone()),
    ),
    "too few inputs": (TypeError, r"fixed_point\(f, z0, \*inputs\)", lambda: fixed_point(f, X)),
    "an array": (TypeError, "tree of tensors, got an array", lambda: fixed_point(same, np.ones((2, 3)))),
    "integers": (TypeError, r"take z0.float\(\)", lambda: fixed_point(same, X.long())),
    "complex numbers": (TypeError, "z0 must be real", lambda: fixed_point(same, X.cfloat())),
    "no batch": (ValueError, "pass batched=False", lambda: fixed_point(same, torch.tensor(1.0))),
    "an empty tree": (TypeError, "z0 must be a tensor or a tree of tensors", lambda: fixed_point(same, {})),
    "two dtypes": (ValueError, "one batch axis, one dtype and one device", lambda: fixed_point(same, (X, X.double()))),
    "a name": (LookupError, "Did you mean 'anderson'", lambda: fixed_point(same, X, solver="andersn")),
    "an option": (TypeError, "Did you mean 'rtol'", lambda: fixed_point(same, X, rtoll=1)),
    "a batch axis": (
        ValueError,
        "input 0 is declared to have the batch axis",
        lambda: fixed_point(lambda z, y: z, X, X[:1], batched_inputs=(True,)),
    ),
    "no pair": (TypeError, "f must return a pair", lambda: fixed_point(same, X, has_aux=True)),
    "a pair": (TypeError, r"fixed_point\(\.\.\., has_aux=True\)", lambda: fixed_point(lambda z: (z, 1), X)),
    "a number in a tree": (
        TypeError,
        r"z0\['b'\]\[0\] must be .* a float",
        lambda: fixed_point(same, {"a": X, "b": [0.5]}),
    ),
    "a storage dtype": (TypeError, r"take z0\.float\(\)", lambda: fixed_point(same, X.to(torch.float8_e4m3fn))),
    "no numbers": (
        TypeError,
        "z0 must be one plain tensor, it is on the meta",
        lambda: fixed_point(same, X.to("meta")),
    ),
    "gaps": (
        TypeError,
        "z0 must be one plain tensor, it is masked",
        lambda: fixed_point(same, torch.masked.masked_tensor(X, X > 0)),
    ),
    "complex times": (ValueError, "t must be two or more finite", lambda: odeint(lambda t, y: y, X, X[0, :2].cfloat())),
    "a name for a tuple": (TypeError, "fallback expects a tuple", lambda: fixed_point(same, X, fallback="picard")),
    "a sparse state": (TypeError, r"take z0.to_dense\(\)", lambda: fixed_point(same, X.to_sparse())),
}


@pytest.mark.filterwarnings("ignore:.*MaskedTensors")
@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_explained(case: str):
    """What is not a state, and what does not return one, is refused by a sentence that says what to do."""
    error, sentence, call = WRONG[case]
    with pytest.raises(error, match=sentence):
        call()


def test_the_start_may_be_overwritten_before_the_backward_pass():
    """A buffer that warm starts are kept in is free after the solve: the fixed point does not depend on it."""
    weight, x = drawn(batch=2, size=3)
    start = torch.zeros_like(x)
    z = fixed_point(f, start, weight, x, **TIGHT)
    start.copy_(z.detach())
    (found,) = torch.autograd.grad(z.square().sum(), weight)
    (wanted,) = torch.autograd.grad(fixed_point(f, torch.zeros_like(x), weight, x, **TIGHT).square().sum(), weight)
    assert torch.allclose(found, wanted, rtol=1e-9, atol=0)


def test_a_start_that_the_derivative_depends_on_must_not_be_overwritten():
    """The adjoint `unrolled` goes the steps again."""
    weight, x = drawn(batch=2, size=3)
    start = torch.zeros_like(x)
    z = fixed_point(f, start, weight, x, **{**TIGHT, "solver": "picard", "adjoint": "unrolled"})
    start.fill_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_memory_does_not_grow():
    """Nothing of a pass is left when its result is gone, without a collection of circles."""
    weight, x = drawn()
    kept = []
    gc.collect()
    gc.disable()
    try:
        for solver in ("anderson", "newton-gmres", "revdeq"):
            found = equilibrium(f, torch.zeros_like(x), weight, x, solver=solver)
            kept.append(weakref.ref(found.z))
            kept.append(weakref.ref(found.solution))
            found.z.sum().backward()
            del found
        assert [each() for each in kept] == [None] * len(kept)
    finally:
        gc.enable()
