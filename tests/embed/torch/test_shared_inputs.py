"""Which inputs of `DeepEquilibrium` are of samples, and leave with them, and which all samples share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.embed.torch.cells import F64

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from equilib.torch import DeepEquilibrium, fixed_point  # noqa: E402


@pytest.mark.parametrize("batch", [4, 6])
@pytest.mark.parametrize("declared", [None, (True, False)], ids=["by default", "declared"])
@pytest.mark.parametrize("start", ["zeros", "z0", "initial"])
def test_what_samples_share_is_never_cut(batch: int, declared: Any, start: str):
    """What calls itself converged is a fixed point, also when a shared input happens to be as long as the batch."""
    rates = torch.linspace(0.1, 0.95, 4, dtype=F64)
    x = torch.zeros(batch, 4, dtype=F64)
    x[:, 0], x[-1] = 0.1, torch.linspace(-3, 3, 4)  # one sample takes longer than the others
    cell = lambda z, x, s: torch.sin(z) * s + x  # noqa: E731
    made = {"initial": lambda x, _: torch.ones_like(x)} if start == "initial" else {}
    deq = DeepEquilibrium(cell, "picard", batched_inputs=declared, rtol=1e-8, max_steps=500, **made)
    z = deq(x, rates, z0=torch.ones_like(x) if start == "z0" else None)
    assert deq.solution.success
    assert (cell(z, x, rates) - z).abs().max() < 1e-6


def slopes() -> Any:
    """Return an input of 4 samples, its first numbers slopes, by which the last takes longer than the others."""
    x = torch.full((4, 4), 0.1, dtype=F64)
    x[-1] = 0.9
    return x


@pytest.mark.parametrize("solver", ["picard", "anderson"])
def test_a_first_input_like_a_guess_that_was_given_is_not_cut(solver: str):
    """A weight may have the shape of z0 by chance: who takes its rows for samples solves another equation."""
    weight = torch.arange(16, dtype=F64).reshape(4, 4) / 10
    cell = lambda z, w: 0.5 * z + w.mean()  # noqa: E731
    start = torch.full((4, 4), 2 * weight.mean().item(), dtype=F64)  # where three samples are done
    start[-1] = torch.linspace(-3, 3, 4)
    deq = DeepEquilibrium(cell, solver, rtol=1e-8, max_steps=500)
    z = deq(weight, z0=start)
    assert deq.solution.success
    assert (cell(z, weight) - z).abs().max() < 1e-6


def test_a_parameter_that_is_an_input_too_is_not_cut():
    """Where a module is also given one of its parameters, declared or not, the module keeps all rows of it."""

    class Own(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.start = torch.nn.Parameter(slopes())

        def forward(self, z: Any, x: Any) -> Any:
            return x * z + self.start.mean()

    cell = Own()
    for declared in (None, (True,)):
        deq = DeepEquilibrium(cell, "picard", rtol=1e-8, max_steps=500, batched_inputs=declared)
        z = deq(cell.start)
        assert deq.solution.success
        assert (cell(z, cell.start) - z).abs().max() < 1e-6


class Context:
    """What an input may hold that nobody sees."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths


ROWS: dict[str, tuple[Any, Any]] = {
    "rows of samples": (torch.arange(8.0, dtype=F64)[:, None], lambda z, s: s.reshape(len(z), -1).mean(1)),
    "rows in NumPy": (np.arange(8.0), lambda z, s: torch.tensor(s).reshape(len(z), -1).mean(1)),
    "a list": ([0, 1, 2, 3], lambda z, s: torch.tensor([each for each, _ in zip(s, z, strict=False)])),
    "a list in a tree": ({"n": [0, 1, 2, 3]}, lambda z, s: torch.tensor(s["n"][: len(z)])),
    "an object": (Context([0, 1, 2, 3]), lambda z, s: torch.tensor(s.lengths[: len(z)])),
}


@pytest.mark.parametrize("case", ROWS)
def test_inputs_that_may_hold_samples_keep_them_all(case: str):
    """What says something of each sample in no axis of its own would be read for others when some have left."""
    given, read = ROWS[case]
    x = slopes()
    deq = DeepEquilibrium(lambda z, x, s: x * z + 1 + read(z, s)[:, None], "picard", rtol=1e-8, max_steps=500)
    z = deq(x, given)
    assert deq.solution.success
    assert (deq.cell(z, x, given) - z).abs().max() < 1e-6


@pytest.mark.parametrize("plain", [0.5, None, "mode", torch.float64, (1, 2, 3), {"rate": np.arange(3)}])
def test_inputs_that_hold_no_samples_let_them_leave(plain: Any):
    """Numbers, names and what is of another length are shared without a doubt."""
    sizes = set()

    def cell(z: Any, x: Any, _: Any) -> Any:
        sizes.add(len(z))
        return x * z + 1

    DeepEquilibrium(cell, "picard", rtol=1e-8, max_steps=500)(slopes(), plain)
    assert sizes == {1, 4}


def test_samples_leave_where_shapes_leave_no_doubt():
    """An input like z is of the samples, one of another length is shared: f sees fewer in the end."""
    seen: list[int] = []
    x = torch.zeros(5, 4, dtype=F64)
    x[-1] = torch.linspace(-3, 3, 4)

    def cell(z: Any, x: Any, s: Any) -> Any:
        seen.append(len(z))
        return torch.sin(z) * s + x

    DeepEquilibrium(cell, "picard", rtol=1e-8, max_steps=500)(x, torch.linspace(0.1, 0.95, 4, dtype=F64))
    assert min(seen) == 1


def test_a_wrong_declaration_is_told_with_an_option_that_there_is():
    """An input that is declared to have the batch axis and has it not is refused, and the advice is followed."""
    x, rates = torch.zeros(5, 4, dtype=F64), torch.linspace(0.1, 0.9, 4, dtype=F64)
    cell = lambda z, x, s: torch.sin(z) * s + x  # noqa: E731
    with pytest.raises(ValueError, match=r"input 1 is declared .* or declare it False in batched_inputs"):
        DeepEquilibrium(cell, batched_inputs=(True, True))(x, rates)
    assert DeepEquilibrium(cell, batched_inputs=(True, False))(x, rates).shape == x.shape
    with pytest.raises(ValueError, match="for each of the 1 inputs"):
        DeepEquilibrium(torch.sin, batched_inputs=(True, False))(x)
    with pytest.raises(ValueError, match="leave out batched_inputs"):
        DeepEquilibrium(torch.sin, batched_inputs=(True,), batched=False)(x)


def test_samples_leave_an_equilibrium_in_f():
    """An input that f closes over stays the samples' where the derivative by it stands another tensor in its place."""
    x = slopes().requires_grad_()
    made, sizes = x + 0.0, set[int]()

    def inner(v: Any, x: Any, z: Any) -> Any:
        sizes.add(len(v))
        return x * v + 0.1 * z + 1

    def gradient(declared: Any) -> Any:
        how: dict[str, Any] = {"solver": "picard", "rtol": 1e-12, "max_steps": 999}
        outer = lambda z: 0.3 * fixed_point(inner, 0 * z, made, z, batched_inputs=declared, **how)  # noqa: E731
        z = fixed_point(outer, torch.zeros_like(x), **how)
        return torch.autograd.grad(z.square().sum(), x, retain_graph=True)[0]

    kept = gradient(None)
    assert sizes == {4}
    assert torch.allclose(gradient((True, True)), kept, rtol=1e-8)
    assert sizes == {1, 4}
