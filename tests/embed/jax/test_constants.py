"""Constants of maps in JAX: what f finds when it is called counts, though it has changed in place."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.awkward_objects import AWKWARD
from tests.embed.jax.cells import TIGHT, close, drawn, iterated

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import fixed_point, problems  # noqa: E402

WEIGHT, X = drawn()
KNOWN = 1.0


class Slots:
    """An object without a dictionary."""

    __slots__ = ("scale",)

    def __init__(self, scale: Any) -> None:
        self.scale = scale


class Table(dict):
    """A dictionary of a type of its own."""


class Settings:
    """A class that is its own namespace."""

    scale: Any = 1.0


class Reader:
    """An object that reads a global, and an attribute of its class."""

    share: Any = 1.0

    def __call__(self, z: Any) -> Any:
        """Return the next state."""
        return jnp.tanh(KNOWN * self.share * z @ WEIGHT + X)


def marked() -> None:
    """Have an attribute."""


UNDER = {"scale": 1.0}

HOLDERS: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "array": (np.ones(()), lambda held: held, lambda held, scale: held.__setitem__((), scale)),
    "arrays in a list": ([np.ones(1)], lambda held: held[0], lambda held, scale: held[0].__setitem__(0, scale)),
    "masked array": (np.ma.ones(1), lambda held: held.data, lambda held, scale: held.__setitem__(0, scale)),
    "queue": (deque([1.0]), lambda held: held[0], lambda held, scale: held.__setitem__(0, scale)),
    "set": ({1.0}, lambda held: max(held), lambda held, scale: (held.clear(), held.add(scale))),
    "dictionary of a type": (Table(a=1.0), lambda held: held["a"], lambda held, scale: held.update(a=scale)),
    "view of a dictionary": (MappingProxyType(UNDER), lambda held: held["scale"], lambda _, s: UNDER.update(scale=s)),
    "method in C": (UNDER.get, lambda held: held("scale"), lambda _, scale: UNDER.update(scale=scale)),
    "namespace": (SimpleNamespace(scale=1.0), lambda held: held.scale, lambda held, s: setattr(held, "scale", s)),
    "slots": (Slots(1.0), lambda held: held.scale, lambda held, scale: setattr(held, "scale", scale)),
    "class": (Settings, lambda held: held.scale, lambda held, scale: setattr(held, "scale", scale)),
    "function": (marked, lambda held: held.scale, lambda held, scale: setattr(held, "scale", scale)),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_constant_is_what_it_is_now(kind: str):
    """Where a constant changes in place, the next solve is of the new one; back at the old one, of that."""
    held, read, change = HOLDERS[kind]
    for scale in (0.5, 0.9, 0.5):
        change(held, scale)
        z = fixed_point(lambda z: jnp.tanh(read(held) * z @ WEIGHT + X), jnp.zeros_like(X), **TIGHT)
        assert close(z, iterated(scale * WEIGHT, X))


def test_derivatives_are_of_the_constants_of_their_solve():
    """An array of NumPy's that changes after the solve changes no derivative of it, nor any later solve."""
    scale = np.full((), 0.5)
    layer = lambda w: jnp.sum(fixed_point(lambda z: jnp.tanh(z * scale @ w + X), jnp.zeros_like(X), **TIGHT))  # noqa: E731
    expected = jax.grad(lambda w: jnp.sum(iterated(0.5 * w, X)))(WEIGHT)
    _, pull = jax.vjp(layer, WEIGHT)
    scale[()] = 0.9
    assert close(pull(jnp.ones(()))[0], expected)
    scale[()] = 0.5
    assert close(jax.grad(layer)(WEIGHT), expected)


@pytest.mark.parametrize("kind", ["namespace", "slots", "queue", "dictionary of a type"])
def test_arrays_within_objects_are_differentiated(kind: str):
    """What objects of any kind hold as an array of JAX's is an input."""
    held, read, change = HOLDERS[kind]

    def loss(scale: Any) -> Any:
        change(held, scale)
        return jnp.sum(fixed_point(lambda z: jnp.tanh(read(held) * z @ WEIGHT + X), jnp.zeros_like(X), **TIGHT))

    gradient = jax.grad(loss)(jnp.asarray(0.5))
    change(held, 0.5)
    assert close(gradient, jax.grad(lambda scale: jnp.sum(iterated(scale * WEIGHT, X)))(0.5))


def test_objects_read_their_class_and_globals(monkeypatch: pytest.MonkeyPatch):
    """What an object that is called finds in its class and its module counts as it is now."""
    for known, share in ((1.0, 0.5), (0.5, 0.5), (0.5, 1.2)):
        monkeypatch.setattr(Reader, "share", share)
        monkeypatch.setitem(globals(), "KNOWN", known)
        z = fixed_point(Reader(), jnp.zeros_like(X), **TIGHT)
        assert close(z, iterated(known * share * WEIGHT, X))


CONFIG = """
scale = 1.0
table = {"scale": 1.0}
class Box:
    scale = 1.0
    class Inner:
        scale = 1.0
class Layer:
    def __call__(self, z):
        return scale * z
    @property
    def share(self):
        return scale
layer = Layer()
def helper(z):
    return scale * z
def change(value):
    global scale
    scale = table["scale"] = Box.scale = Box.Inner.scale = value
"""


def module(name: str) -> Any:
    """Return a module of a user's."""
    made = ModuleType(name)
    exec(CONFIG, made.__dict__)
    return made


config = module("config_of_a_test")
package = ModuleType("package_of_a_test")
package.config = config


def imported(z: Any) -> Any:
    """Import the module within a function."""
    import config_of_a_test

    return config_of_a_test.scale * z


READS: dict[str, Callable[[Any], Any]] = {
    "an attribute": lambda z: config.scale * z,
    "what an attribute holds": lambda z: config.table["scale"] * z,
    "a class": lambda z: config.Box.scale * z,
    "a class in a class": lambda z: config.Box.Inner.scale * z,
    "a function of it": lambda z: config.helper(z),
    "an object of it": lambda z: config.layer(z),
    "a property": lambda z: config.layer.share * z,
    "a bound method": lambda z, layer=config.layer.__call__: layer(z),
    "a function from it": lambda z, helper=config.helper: helper(z),
    "a module in a module": lambda z: package.config.scale * z,
    "a module in a list": lambda z, held=[config]: held[0].scale * z,
    "an import in f": imported,
}


@pytest.mark.parametrize("kind", READS)
def test_modules_are_read_as_they_are_now(kind: str, monkeypatch: pytest.MonkeyPatch):
    """What f reads of a module, by whatever way, counts as it is when it is solved for."""
    monkeypatch.setitem(sys.modules, "config_of_a_test", config)
    for scale in (0.5, 0.9, 0.5):
        config.change(scale)
        z = fixed_point(lambda z: jnp.tanh(READS[kind](z) @ WEIGHT + X), jnp.zeros_like(X), **TIGHT)
        assert close(z, iterated(scale * WEIGHT, X))


RELATIVE = """
def f(z):
    from .settings import scale
    from ..settings import scale as outer
    return 0.5 * z + scale + outer
"""


def test_relative_imports_are_of_modules_as_they_are_now(monkeypatch: pytest.MonkeyPatch):
    """What f imports from its own package, and the package around it, counts as it is when it is solved for."""
    exec(RELATIVE, scope := {"__name__": "outer_of_a_test.inner.layers", "__package__": "outer_of_a_test.inner"})
    outer, inner = module("outer_of_a_test.settings"), module("outer_of_a_test.inner.settings")
    for each in (outer, inner, ModuleType("outer_of_a_test"), ModuleType("outer_of_a_test.inner")):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    for one, other in ((1.0, 1.0), (2.0, 1.0), (2.0, 3.0)):
        inner.change(one)
        outer.change(other)
        assert close(fixed_point(scope["f"], jnp.zeros((1, 1)), **TIGHT), jnp.full((1, 1), 2.0 * (one + other)))


@pytest.mark.parametrize("kind", ["an attribute", "a function of it", "a module in a module", "a module in a list"])
def test_arrays_of_a_module_are_differentiated(kind: str):
    """An array of JAX's that f reads of a module is an input."""

    def loss(scale: Any) -> Any:
        config.change(scale)
        return jnp.sum(fixed_point(lambda z: jnp.tanh(READS[kind](z) @ WEIGHT + X), jnp.zeros_like(X), **TIGHT))

    gradient = jax.grad(loss)(jnp.asarray(0.5))
    config.change(0.5)
    assert close(gradient, jax.grad(lambda scale: jnp.sum(iterated(scale * WEIGHT, X)))(0.5))


def test_what_is_not_read_compiles_nothing_anew():
    """Where something else of a module changes, as a counter does, the map is the one that was compiled."""
    known = set(problems._maps)
    for count in range(3):
        config.unrelated = count
        fixed_point(lambda z: jnp.cos(config.helper(0.1 * z)), jnp.zeros((2, 3)))
    assert len(set(problems._maps) - known) == 1


@pytest.mark.parametrize("kind", AWKWARD, ids=lambda each: each.__name__)
def test_objects_may_raise_or_answer_anything_for_an_attribute(kind: Any):
    """What an object raises where it is asked for an attribute that it has not is no error of a solve."""
    held = kind(scale=0.5)
    z = fixed_point(lambda z: jnp.tanh(held.scale * z @ WEIGHT + X), jnp.zeros_like(X), **TIGHT)
    assert close(z, iterated(0.5 * WEIGHT, X))


def test_equal_constants_are_one_map():
    """Arrays of NumPy's that are made anew with the same numbers make no other map."""
    known = set(problems._maps)
    for _ in range(3):
        scale = np.full(3, 0.25)
        fixed_point(lambda z, scale=scale: jnp.cos(scale[0] * z), jnp.zeros((2, 3)))
    assert len(set(problems._maps) - known) == 1


@pytest.mark.parametrize("way", ["by a method", "by a function that is named after the object"])
def test_methods_that_methods_call_are_followed(way: str, monkeypatch: pytest.MonkeyPatch):
    """What is read on the way, however long, is as it is when it is solved for."""
    monkeypatch.setitem(globals(), "scale_of_outer", 0.5)
    f = _through_outer if way == "by a method" else _through_z
    for scale in (0.5, 0.25):
        monkeypatch.setitem(globals(), "scale_of_outer", scale)
        z = fixed_point(f, jnp.zeros_like(X), **TIGHT)
        assert close(z, iterated(scale * WEIGHT, X))


class Outer:
    """A method that calls another."""

    def _inner(self, z: Any) -> Any:
        return jnp.tanh(scale_of_outer * z @ WEIGHT + X)

    def compute(self, z: Any) -> Any:
        """Return what the other one does."""
        return self._inner(z)


scale_of_outer, an_outer = 0.5, Outer()


def _through_outer(z: Any) -> Any:
    return an_outer.compute(z)


def z_helper(held: Any, z: Any) -> Any:
    """Return what the object does."""
    return held.compute(z)


def _through_z(z: Any) -> Any:
    return z_helper(an_outer, z)
