"""The module `DeepEquilibrium`: what PyTorch does with modules."""

from __future__ import annotations

import copy
import os
import pickle
import socket
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from equilib import ops
from equilib.errors import UserError
from tests.embed.torch.cells import F64, TIGHT, Cell, drawn

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from equilib.torch import DeepEquilibrium, fixed_point, odeint  # noqa: E402

_, X = drawn(grad=False)


def network(**how: Any) -> Any:
    """Return two equilibria of one cell in a row, and a linear layer."""
    cell = Cell()
    deq = DeepEquilibrium(cell, **{**TIGHT, **how})
    return torch.nn.Sequential(
        deq, torch.nn.Tanh(), DeepEquilibrium(cell, "anderson", rtol=1e-10), torch.nn.Linear(3, 2).double()
    )


def test_copies_and_files_keep_the_model():
    """A copy, a pickle and a state dict give the same outputs, and none holds the last solve."""
    net = network()
    expected = net(X)
    other = network()
    other.load_state_dict(net.state_dict())
    for same in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), other):
        assert torch.equal(same(X), expected)
    assert net[0].solution.success
    assert copy.deepcopy(net)[0].solution is None
    assert set(net[0].state_dict()) == {"cell.linear.weight", "cell.linear.bias"}


def test_the_module_tells_of_its_last_solve():
    """`solution` is the last solve, `adjoints` the linear solves of its derivatives; the text names the solver."""
    deq = DeepEquilibrium(Cell(), "anderson", rtol=1e-8)
    assert deq.solution is None
    z = deq(X)
    assert deq.solution.success
    assert torch.equal(deq.solution.z, z)
    z.sum().backward()
    assert [each.success for each in deq.adjoints] == [True]
    assert "solver=anderson, rtol=1e-08" in repr(deq)


@pytest.mark.parametrize("wrong", ["a", X.numpy(), (X, X), None])
def test_the_first_input_is_a_tensor_or_a_start_is_given(wrong: Any):
    """What z could not be like is named, with the way out."""
    with pytest.raises(TypeError, match=r"^the initial guess is zeros like the first input, a tensor, got .*z0=\.\.\."):
        DeepEquilibrium(Cell())(wrong)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"cell": 3}, "cell must be a map of z, got an int"),
        ({"cell": Cell}, "cell must be a map of z, not a class"),
        ({"solver": "andersn"}, "Did you mean 'anderson'"),
        ({"solver": 3}, "solver must be a solver, got an int"),
        ({"solver": "anderson:memry=2"}, "Did you mean 'memory'"),
        ({"adjoint": "implct"}, "Did you mean 'implicit'"),
        ({"adjoint": "backsolve"}, "differentiates the solution of an ODE"),
        ({"initial": 3}, "initial must be a map of the inputs"),
        ({"fallback": "newton-gmres"}, "fallback expects a tuple of solvers"),
        ({"fallback": ("newton-gmrs",)}, "Did you mean 'newton-gmres'"),
        ({"rtoll": 1.0}, "DeepEquilibrium has no option 'rtoll'. Did you mean 'rtol'"),
        ({"batched_inputs": True}, "batched_inputs must be a tuple of bool"),
        ({"batched_inputs": (True, 1)}, "an entry of batched_inputs"),
        ({"rtol": -1.0}, "option 'rtol' expects"),
        ({"max_steps": "3"}, "option 'max_steps' expects"),
        ({"on_failure": "x"}, "option 'on_failure' expects"),
    ],
    ids=str,
)
def test_a_mistake_is_told_where_the_module_is_made(how: dict[str, Any], sentence: str):
    """What the first solve would refuse is refused before."""
    with pytest.raises((TypeError, LookupError, UserError), match=sentence):
        DeepEquilibrium(**{"cell": Cell(), **how})


def test_hooks_and_another_start():
    """Hooks of the cell see each evaluation; the start may be given, or made of the inputs."""
    deq, seen = DeepEquilibrium(Cell(), "picard"), []
    deq.cell.register_forward_hook(lambda *_: seen.append(1))
    deq(X)
    assert len(seen) == deq.solution.nfe + 1  # that with a graph
    first = deq.solution.nfe
    deq(X, z0=deq.solution.z)
    assert deq.solution.nfe < first
    made = DeepEquilibrium(Cell(), "picard", initial=lambda x: torch.ones_like(x))
    made(X)
    assert made.solution.z0.eq(1).all()


def test_training_lowers_the_loss():
    """A network with an equilibrium in it is trained as any other, by an optimizer of PyTorch."""
    torch.manual_seed(0)
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(15):
        loss = (net(X) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("solver", ["anderson", "newton-gmres"])
def test_inference_keeps_no_graph(solver: str):
    """Under `no_grad` and `inference_mode` values are the same, and plain; Newton's method differentiates."""
    deq = DeepEquilibrium(Cell(), solver, rtol=1e-10)
    expected = deq(X).detach()
    with torch.no_grad():
        plain = deq(X)
    with torch.inference_mode():
        inferred = deq(X + 0)
    assert not plain.requires_grad
    assert inferred.is_inference()
    assert torch.allclose(plain, expected, rtol=1e-8)
    assert torch.allclose(inferred.clone(), expected, rtol=1e-8)


def test_checkpointing_around_it():
    """Activation checkpointing of PyTorch around an equilibrium gives the same gradient."""
    deq = DeepEquilibrium(Cell(), **TIGHT)
    deq(X).pow(2).sum().backward()
    expected = deq.cell.linear.weight.grad.clone()
    deq.zero_grad()
    torch.utils.checkpoint.checkpoint(deq, X, use_reentrant=False).pow(2).sum().backward()
    assert torch.allclose(deq.cell.linear.weight.grad, expected)


def test_casts_are_for_f_alone():
    """Under autocast f computes in bfloat16, the solver in the dtype of z0, and the gradient is near that without."""
    cell, x, seen = Cell(dtype=torch.float32), X.float(), []
    cell.linear.register_forward_hook(lambda _, __, y: seen.append(y.dtype))
    deq = DeepEquilibrium(cell, "anderson", rtol=1e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = deq(x)
        loss = z.sum()
    loss.backward()
    assert set(seen) == {torch.bfloat16}
    assert (z.dtype, deq.solution.residual.dtype) == (torch.float32, torch.float32)
    cast = cell.linear.weight.grad.clone()
    deq.zero_grad()
    deq(x).sum().backward()
    assert torch.allclose(cast, cell.linear.weight.grad, rtol=0.1, atol=0.02)


def test_modules_in_bfloat16():
    """A state that NumPy has no dtype for is solved on tensors."""
    deq = DeepEquilibrium(Cell(dtype=torch.float32), "anderson", rtol=3e-2).bfloat16()
    z = deq(X.bfloat16())
    z.sum().backward()
    assert (z.dtype, deq.cell.linear.weight.grad.dtype) == (torch.bfloat16, torch.bfloat16)
    assert deq.solution.success
    assert deq.solution.residual.dtype is torch.bfloat16


def test_auxiliary_outputs():
    """What f returns beside z comes from the fixed point, and is differentiable through it."""

    class Pair(Cell):
        def forward(self, z: Any, x: Any) -> Any:
            y = super().forward(z, x)
            return y, {"norm": y.square().sum(1)}

    x = X.clone().requires_grad_()
    z, aux = DeepEquilibrium(Pair(), has_aux=True, **TIGHT)(x)
    assert torch.allclose(aux["norm"], z.square().sum(1))
    found = torch.autograd.grad(aux["norm"].sum(), x, retain_graph=True)[0]
    assert torch.allclose(found, torch.autograd.grad(z.square().sum(), x)[0])


COMPILED = """
    import torch
    import torch._dynamo.testing
    from tests.embed.torch.cells import Cell, TIGHT, drawn
    from equilib.torch import DeepEquilibrium
    _, x = drawn(grad=False)
    net = torch.nn.Sequential(DeepEquilibrium(Cell(), **TIGHT), torch.nn.Tanh())
    net(x).sum().backward()
    expected = net[0].cell.linear.weight.grad.clone()
    net.zero_grad()
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(net, backend=counter)
    for _ in range(3):
        net.zero_grad()
        compiled(x).sum().backward()
    assert torch.allclose(net[0].cell.linear.weight.grad, expected)
    assert counter.frame_count <= 2, counter.frame_count
"""


@pytest.mark.slow
def test_compiling_around_it():
    """`torch.compile` of a model leaves the solve as it is: no frame of the solver is compiled, and none twice."""
    finished(start(COMPILED))


def exported(layer: Any, x: Any) -> Any:
    """Export a function."""

    class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return layer(x)

    return torch.export.export(Module(), (x,), strict=False)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning", "ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("record", ["torch.jit.trace", "torch.export", "make_fx", "torch.fx"])
@pytest.mark.parametrize("front", ["fixed_point", "odeint"])
def test_what_records_operations_is_refused(record: str, front: str):
    """The record of a solve would hold its numbers as constants, so there is none."""
    from torch.fx.experimental.proxy_tensor import make_fx

    cell = Cell().requires_grad_(False)
    layers: dict[str, Any] = {
        "fixed_point": DeepEquilibrium(cell, **TIGHT),
        "odeint": lambda y: odeint(lambda t, y: cell(y, y), y, [0.0, 1.0]),
    }
    layer = layers[front]
    records = {
        "torch.jit.trace": torch.jit.trace,
        "torch.export": exported,
        "make_fx": lambda f, x: make_fx(f)(x),
        "torch.fx": lambda f, _: torch.fx.symbolic_trace(f),
    }
    with pytest.raises(UserError, match=f"cannot be recorded by {record}.* save its state_dict"):
        records[record](layer, X)
    with pytest.raises(UserError, match=r"cannot be recorded by make_fx.*; for torch\.func\.linearize take jvp$"):
        torch.func.linearize(layer, X)
    assert torch.isfinite(layer(X)).all()


class Around(torch.nn.Module):  # type: ignore[misc, name-defined]
    """An equilibrium in a module, called in some way."""

    def __init__(self, call: Any, **how: Any) -> None:
        super().__init__()
        self.deq, self.call, self.start = DeepEquilibrium(Cell(), **how), call, torch.nn.Parameter(X + 0)

    def forward(self, x: Any) -> Any:
        """Call the equilibrium."""
        return self.call(self, x)


@pytest.mark.parametrize(
    ("call", "how"),
    [
        (lambda self, x: self.deq(x), {}),
        (lambda self, x: self.deq(x), {"initial": torch.zeros_like}),
        (lambda self, x: self.deq(x, z0=self.start), {}),
        (lambda self, x: x + self.deq(X), {}),
        (lambda self, x: fixed_point(self.deq.cell, X, x), {}),
        (lambda self, x: fixed_point(lambda z: z, x), {}),
        (lambda self, x: odeint(lambda t, y: -y, X, x), {}),
    ],
    ids=["default", "initial", "z0", "a constant", "an input", "a state", "times"],
)
def test_a_graph_of_fx_is_refused_wherever_its_tensors_arrive(call: Any, how: dict[str, Any]):
    """A tracer's tensors are none, and what is solved of others alone would be a constant; as a leaf it is kept."""
    model = Around(call, **how, **TIGHT)
    with pytest.raises(UserError, match=r"cannot be recorded by torch\.fx.* is_leaf_module knows it keeps it"):
        torch.fx.symbolic_trace(model)


def test_a_leaf_of_fx_stays_an_equilibrium():
    """A tracer that takes it for a leaf, as the refusal says, makes a graph that solves."""

    class Tracer(torch.fx.Tracer):  # type: ignore[misc, name-defined]
        def is_leaf_module(self, m: Any, name: str) -> bool:
            return isinstance(m, DeepEquilibrium) or super().is_leaf_module(m, name)

    net = network()
    graph = torch.fx.GraphModule(net, Tracer().trace(net))
    assert torch.equal(graph(2 * X), net(2 * X))


PARALLEL = """
    import sys
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from tests.embed.torch.cells import Cell, TIGHT, drawn
    from equilib.torch import DeepEquilibrium
    rank, port = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    _, x = drawn(batch=4, grad=False)
    alone = torch.nn.Sequential(DeepEquilibrium(Cell(), **TIGHT))
    alone(x).pow(2).mean().backward()
    net = DistributedDataParallel(torch.nn.Sequential(DeepEquilibrium(Cell(), **TIGHT)))
    net(x[2 * rank : 2 * rank + 2]).pow(2).mean().backward()
    for ours, theirs in zip(net.parameters(), alone.parameters()):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-10), (ours.grad, theirs.grad)
    dist.destroy_process_group()
"""


def test_statistics_of_a_batch_ask_for_all_of_it():
    """Where f fails as finished samples have left the batch, a note says so, and `compact=0` keeps them."""
    norm = torch.nn.BatchNorm1d(3).double()
    z0 = torch.tensor([[0.0], [0.0], [1.0]], dtype=F64).expand(3, 3)

    def step(z: Any, x: Any) -> Any:
        return 0.5 * z + 0 * norm(x + z)

    how: dict[str, Any] = {"solver": "picard", "rtol": 1e-8, "batched_inputs": (True,)}
    with pytest.raises(ValueError, match="Expected more than 1 value per channel") as caught:
        fixed_point(step, z0, 0 * z0, **how)
    assert any("1 of 3 samples are left" in note and "compact=0" in note for note in caught.value.__notes__)
    assert fixed_point(step, z0, 0 * z0, compact=0, **how).abs().max() < 1e-7


@pytest.mark.slow
def test_two_processes_are_as_one():
    """With DistributedDataParallel the gradients of two processes are those of one with the whole batch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    first, second = (start(PARALLEL, rank, port) for rank in "01")
    finished(second)
    finished(first)


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program in a process of its own."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    how: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"}, **how)


def finished(process: subprocess.Popen[str]) -> None:
    """Wait for a program, and require that it succeeds."""
    try:
        out, _ = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 0, out


@pytest.mark.parametrize("front", ["fixed_point", "odeint"])
def test_lazy_parameters_are_made_at_the_first_call(front: str):
    """As PyTorch makes them, of the shape of what they are given, and they are trained from then on."""

    class Lazy(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.LazyLinear(3, dtype=F64)

        def forward(self, *given: Any) -> Any:
            return 0.3 * torch.tanh(self.linear(given[-1]))

    cell = Lazy()
    z = fixed_point(cell, X) if front == "fixed_point" else odeint(cell, X, [0.0, 1.0])
    z.sum().backward()
    assert cell.linear.weight.grad.shape == (3, 3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(), (3,)])
def test_tolerances_may_be_tensors(shape: tuple[int, ...]):
    """They are the same numbers on the host, of which no derivative is taken."""
    how = {name: torch.full(shape, 1e-5, requires_grad=True) for name in ("rtol", "atol")}
    plain = {name: each.detach().double().numpy()[()] for name, each in how.items()}
    layer = lambda **how: fixed_point(Cell(), torch.zeros_like(X), X, solver="anderson", **how)  # noqa: E731
    integral = lambda **how: odeint(lambda t, y: Cell()(y, X), X, [0.0, 1.0], **how)  # noqa: E731
    for function in (layer, integral):
        assert torch.equal(function(**how), function(**plain))


def test_double_precision_by_a_method():
    """A module changes its dtype as any other; z0 and the inputs must follow."""
    deq = DeepEquilibrium(Cell(dtype=torch.float32), "picard").double()
    assert deq(X).dtype is F64
    with pytest.raises(RuntimeError, match="must have the same dtype"):
        deq(X, z0=X.float())


def test_an_input_with_the_batch_on_another_axis_is_not_cut():
    """Samples that finish at different times leave such an input whole."""
    torch.manual_seed(0)
    memory, x = (
        torch.randn(5, 8, 4, dtype=F64),
        torch.logspace(-6, 1, 8, dtype=F64)[:, None] * torch.ones(8, 4, dtype=F64),
    )
    deq = DeepEquilibrium(lambda z, x, memory: torch.tanh(0.5 * z * x + 0.1 * memory.mean(0)), "picard", rtol=1e-8)
    z = deq(x, memory)
    assert torch.allclose(z, torch.tanh(0.5 * z * x + 0.1 * memory.mean(0)), atol=1e-6)


@pytest.mark.parametrize("x", [-200.0, 0.0, 3.0])
def test_the_slope_of_a_sigmoid_by_pytorch_is_that_of_its_own(x: float):
    """Where e^−x is infinite, too, the derivative is finite."""
    ours, theirs = (torch.tensor(x, requires_grad=True) for _ in range(2))
    ops.sigmoid(ours).backward()
    torch.sigmoid(theirs).backward()
    assert torch.allclose(ours.grad, theirs.grad)
