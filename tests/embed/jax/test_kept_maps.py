"""Maps that are kept for later solves read nothing of the objects of the solve that they were made for."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from tests.embed.jax.cells import TIGHT, close, drawn, iterated

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.errors import UserError  # noqa: E402
from equilib.jax import fixed_point, problems  # noqa: E402
from equilib.jax.states import packing  # noqa: E402

WEIGHT, X = drawn()
SCALE = 0.5


class Slots:
    """An object without a dictionary."""

    __slots__ = ("scale",)

    def __init__(self, scale: float) -> None:
        self.scale = scale


class OfClass:
    """An object that reads an attribute of its class by a method, and a global."""

    scale = 0.5

    def _scale(self) -> Any:
        return OfClass.scale * SCALE / 0.5

    def __call__(self, z: Any, weight: Any) -> Any:
        """Return the next state."""
        return jnp.tanh(self._scale() * z @ weight + X)


OF_CLASS = OfClass()


def held(name: str, scale: float) -> tuple[Callable[[], Any], Callable[[float], None]]:
    """Return what reads a scale in an object of a kind, and what sets it."""
    if name == "list":
        inside = [scale]
        return lambda: inside[0], lambda value: inside.__setitem__(0, value)
    if name == "dictionary in an object":
        outside = SimpleNamespace(inner={"scale": scale})
        return lambda: outside.inner["scale"], lambda value: outside.inner.update(scale=value)
    if name == "set":
        one = {scale}
        return lambda: max(one), lambda value: (one.clear(), one.add(value))[0]
    found = Slots(scale) if name == "slots" else SimpleNamespace(scale=scale)
    return lambda: found.scale, lambda value: setattr(found, "scale", value)


KINDS = ["list", "dictionary in an object", "set", "slots", "namespace"]


def layer(read: Callable[[], Any]) -> Callable[..., Any]:
    """Return the map that reads the scale."""
    return lambda z, weight, x: jnp.tanh(read() * z @ weight + x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["another batch", "jit", "gradient"])
def test_a_map_reads_no_object_of_an_earlier_one(kind: str, way: str):
    """Where equal objects are one map, and those of the first change later, the second is solved for as it is."""
    (first, change), (second, _) = held(kind, 0.5), held(kind, 0.5)
    solve = lambda read, w, x=X: fixed_point(layer(read), jnp.zeros_like(x), w, x, **TIGHT)  # noqa: E731
    assert close(solve(first, WEIGHT), iterated(0.5 * WEIGHT, X))
    change(0.9)
    if way == "gradient":
        found = jax.grad(lambda w: jnp.sum(solve(second, w)))(WEIGHT)
        assert close(found, jax.grad(lambda w: jnp.sum(iterated(0.5 * w, X)))(WEIGHT))
    elif way == "jit":
        assert close(jax.jit(lambda w: solve(second, w))(WEIGHT), iterated(0.5 * WEIGHT, X))
    else:
        wide = jnp.concatenate([X, X])
        assert close(solve(second, WEIGHT, wide), iterated(0.5 * WEIGHT, wide))


@pytest.mark.parametrize("kind", [*KINDS, "global", "class"])
def test_a_derivative_is_that_of_what_was_solved(kind: str, monkeypatch: pytest.MonkeyPatch):
    """What f reads changes between a solve and its derivative: that is of the solve, and so are later ones."""
    if kind in KINDS:
        read, change = held(kind, 0.5)
        f = layer(read)
    else:
        f = lambda z, weight, _: OF_CLASS(z, weight)  # noqa: E731
        at = (globals(), "SCALE") if kind == "global" else (OfClass, "scale")
        change = lambda value: (  # noqa: E731
            monkeypatch.setitem(*at, value) if kind == "global" else monkeypatch.setattr(*at, value)
        )
    expected = jax.grad(lambda w: jnp.sum(iterated(0.5 * w, X)))(WEIGHT)
    for _ in range(2):
        change(0.5)
        _, pull = jax.vjp(lambda w: jnp.sum(fixed_point(f, jnp.zeros_like(X), w, X, **TIGHT)), WEIGHT)
        change(0.9)
        assert close(pull(jnp.ones(()))[0], expected)


def test_two_solves_in_one_program_are_of_what_each_reads(monkeypatch: pytest.MonkeyPatch):
    """Inside of jit each solve, and its gradient, is of what f reads where it is written, not where that ends."""
    problems._maps.clear()

    def both(weight: Any) -> Any:
        total = 0.0
        for scale in (0.25, 0.5, 7.0):
            monkeypatch.setitem(globals(), "SCALE", scale)
            if scale < 1:
                total += jnp.sum(fixed_point(OfClass(), jnp.zeros_like(X), weight, **TIGHT))
        return total

    expected = lambda w: jnp.sum(iterated(0.25 * w, X)) + jnp.sum(iterated(0.5 * w, X))  # noqa: E731
    value, gradient = jax.jit(jax.value_and_grad(both))(WEIGHT)
    assert close(value, expected(WEIGHT))
    assert close(gradient, jax.grad(expected)(WEIGHT))


class Mark:
    """A value that is known by being the same object."""

    def __init__(self, name: str) -> None:
        self.name = name


MISSING = Mark("missing")


def activation(z: Any) -> Any:
    """Return what depends on a global."""
    return jnp.tanh(SCALE * z)


FACTORS = {activation: 0.5}


class Asking:
    """An object that asks of what it holds whether it is a global of its module."""

    def __init__(self) -> None:
        self.bias, self.activation, self.sizes = MISSING, activation, [1.0]

    def __call__(self, z: Any) -> Any:
        """Return the next state: half of z and 1, where all is the same."""
        same = self.bias is MISSING and self.activation is activation
        return FACTORS[self.activation] * z + (1.0 if same else 5.0)


def test_what_is_the_same_object_stays_so():
    """Copies are not told from globals that methods compare with, and two names of one object are one in a copy."""
    assert close(fixed_point(Asking(), jnp.zeros((1, 1)), **TIGHT), jnp.full((1, 1), 2.0))
    mark = Mark("one")
    pair = mark, [mark]
    f = lambda z: 0.5 * z + (1.0 if pair[0] is pair[1][0] is mark else 5.0)  # noqa: E731
    assert close(fixed_point(f, jnp.zeros((1, 1)), **TIGHT), jnp.full((1, 1), 2.0))


def test_what_f_holds_is_not_closed():
    """An object that closes what it holds when it goes, as files do, is not copied."""
    closed = []

    class File:
        def __init__(self) -> None:
            self.scales = [1.0]

        def __del__(self) -> None:
            closed.append(self)

    file = File()
    fixed_point(lambda z: 0.5 * z + file.scales[0], jnp.zeros((1, 1)), **TIGHT)
    gc.collect()
    assert not closed


def test_objects_may_hold_themselves():
    """An array in an object that is found by way of another, which it holds, is an input."""
    one, other = SimpleNamespace(), SimpleNamespace()
    one.other, other.one = other, one

    def solve(weight: Any) -> Any:
        one.weight = weight
        return jnp.sum(fixed_point(lambda z: jnp.tanh(z @ one.other.one.weight + X), jnp.zeros_like(X), **TIGHT))

    gradient = jax.grad(solve)(WEIGHT)
    one.weight = WEIGHT
    assert close(gradient, jax.grad(lambda w: jnp.sum(iterated(w, X)))(WEIGHT))
    assert close(solve(0.5 * WEIGHT), jnp.sum(iterated(0.5 * WEIGHT, X)))


def test_functions_that_call_themselves_are_one_map():
    """A function that calls itself, made anew, is compiled once."""
    known = set(problems._maps)

    def made() -> Callable[[Any], Any]:
        def repeated(n: int, z: Any) -> Any:
            return z if n == 0 else repeated(n - 1, 0.5 * z + 1.0)

        return lambda z: repeated(2, z)

    for _ in range(3):
        fixed_point(made(), jnp.zeros((1, 1)), **TIGHT)
    assert len(set(problems._maps) - known) == 1


def holding(held: Any) -> Callable[[Any], Any]:
    """Return a map that closes over an object."""
    return lambda z: jnp.tanh(z @ held.weight @ held.layers["one"][0] + X + len(held.others))


@pytest.mark.parametrize("within", [False, True], ids=["alone", "within itself"])
def test_what_f_held_is_freed(within: bool):
    """An object with an array, which f closed over, goes when its owner lets it go, though the map is kept."""
    held: Any = Mark("held")
    held.weight, held.layers, held.others = WEIGHT, {"one": [WEIGHT]}, [held] if within else []
    fixed_point(holding(held), jnp.zeros_like(X), **TIGHT)
    gone = weakref.ref(held)
    del held
    gc.collect()
    assert gone() is None


@partial(jax.tree_util.register_dataclass, data_fields=["weight"], meta_fields=[])
@dataclass
class Cell:
    """A tree of JAX's that is a map."""

    weight: Any

    def step(self, z: Any) -> Any:
        """Return the next state."""
        return jnp.tanh(z @ self.weight + X)

    __call__ = step


@pytest.mark.parametrize("way", ["tree", "method", "partial", "closed over"])
def test_a_model_is_freed(way: str):
    """A model, by whatever way it is the map, goes when its owner lets it go, and the next one is the same map."""
    ways: dict[str, Callable[[Cell], Any]] = {
        "tree": lambda cell: cell,
        "method": lambda cell: cell.step,
        "partial": lambda cell: partial(Cell.step, cell),
        "closed over": lambda cell: lambda z: cell(z),
    }
    problems._maps.clear()
    for _ in range(2):
        cell = Cell(WEIGHT)
        fixed_point(ways[way](cell), jnp.zeros_like(X), **TIGHT)
        gone = weakref.ref(cell)
        del cell
        gc.collect()
        assert gone() is None
    assert len(problems._maps) == 1


def test_modules_of_linen_made_anew_are_one_map():
    """A module of Flax's linen is its fields, as Flax compares it: one that is made in each step is compiled once."""
    linen = pytest.importorskip("flax.linen", reason="Flax is not installed")

    class Own(linen.Module):  # type: ignore[misc, name-defined]
        size: int

        @linen.compact
        def __call__(self, z: Any) -> Any:
            return 0.1 * linen.Dense(self.size, param_dtype=z.dtype)(z)

    def solve(kind: Any, size: int) -> Any:
        module = kind(size)
        params = module.init(jax.random.key(0), X)
        return fixed_point(lambda z: 0.1 * module.apply(params, z)[:, :3] + X, jnp.zeros_like(X), **TIGHT)

    for kind in (partial(linen.Dense, param_dtype=X.dtype), Own):
        known = set(problems._maps)
        for size in (3, 3, 4, 3):
            solve(kind, size)
        assert len(set(problems._maps) - known) == 2


def test_threads_solve_for_more_maps_than_are_kept(monkeypatch: pytest.MonkeyPatch):
    """A map that another thread forgets meanwhile is made again."""
    monkeypatch.setattr(problems, "KEPT", 1)
    packed, _ = packing(X, batched=True)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            scaled = [lambda z, scale=scale: scale * z for scale in (0.1, 0.2, 0.3)]
            jobs = [pool.submit(problems.posed, scaled[number % 3], (), packed) for number in range(6000)]
            for each in jobs:
                each.result()
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("kind", ["lists", "objects"])
def test_what_is_too_deep_is_told(kind: str):
    """Values within each other deeper than Python recurses are refused in a sentence."""
    deep: Any = []
    for _ in range(2 * sys.getrecursionlimit()):
        deep = [deep] if kind == "lists" else SimpleNamespace(held=deep)
    with pytest.raises(UserError, match=r"within each other .* inputs"):
        fixed_point(lambda z: 0.5 * z + len(deep), jnp.zeros((1, 1)), **TIGHT)
