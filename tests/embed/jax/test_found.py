"""What f reads by rules of Python's own, and all that an object holds, counts as it is when it is solved for."""

from __future__ import annotations

import collections
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.embed.jax.cells import TIGHT, close

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import fixed_point  # noqa: E402

GAIN = 1.0


def solved(read: Callable[[], Any]) -> Any:
    """Return half of the fixed point of a map, which is what is read."""
    return float(fixed_point(lambda z: 0.5 * z + read(), jnp.zeros((1, 1)), **TIGHT)[0, 0]) / 2


class Base:
    """A class whose method another one hides."""

    def gain(self) -> Any:
        """Return the global."""
        return GAIN


class Derived(Base):
    """Its method calls the one that it hides."""

    def gain(self) -> Any:
        """Return what the base does."""
        return super().gain()


class Descriptor:
    """An attribute that is computed."""

    def __get__(self, instance: object, owner: Any = None) -> Any:
        return GAIN


class Meta(type):
    """A class of classes with a property."""

    @property
    def gain(cls) -> Any:
        """Return the global."""
        return GAIN


class Holder(metaclass=Meta):
    """What holds such an attribute, and part of a method."""

    described = Descriptor()

    def _times(self, factor: Any) -> Any:
        return GAIN * factor

    partly = functools.partialmethod(_times, 1.0)


class Called:
    """An object that is called, with a number."""

    def __init__(self) -> None:
        self.gain = 1.0

    def __call__(self) -> Any:
        """Return the number."""
        return self.gain


class WithCallable:
    """A class that holds such an object."""

    act = Called()


derived, holder, with_callable, local = Derived(), Holder(), WithCallable(), threading.local()
checkpointed = jax.checkpoint(lambda: GAIN * jnp.ones(()))
STORED = bytearray(b"\1")
VIEW = memoryview(STORED)
LOOKED_UP = {derived.gain: 1.0}


def of_type() -> Any:
    """Return what a class finds by its own object."""
    return type(with_callable).act()


@functools.lru_cache
def cached() -> Any:
    """Return the global of the first call."""
    return GAIN


SOURCES: dict[str, Callable[[], Any]] = {
    "super": lambda: derived.gain(),
    "descriptor": lambda: holder.described,
    "property of a metaclass": lambda: Holder.gain,
    "partialmethod": lambda: holder.partly(),
    "factory": lambda table=collections.defaultdict(lambda: GAIN): (table.clear(), table["new"])[1],
    "thread's own": lambda: local.gain,
    "memoryview": lambda: VIEW[0],
    "jax.checkpoint": lambda: checkpointed(),
    "keys of a dictionary": lambda: next(iter(LOOKED_UP))(),
    "object of a class": lambda: with_callable.act(),
    "object of a class by its type": of_type,
    "cached": cached,
}


@pytest.mark.parametrize("source", SOURCES)
def test_what_python_finds_by_rules_of_its_own_is_followed(source: str, monkeypatch: pytest.MonkeyPatch):
    """Bases, descriptors, classes of classes, factories and views count as they are when it is solved for."""
    for gain in (1.0, 2.0):
        monkeypatch.setitem(globals(), "GAIN", gain)
        WithCallable.act.gain = local.gain = gain
        STORED[0] = int(gain)
        cached.cache_clear()
        assert close(solved(SOURCES[source]), gain)


class Text(str):
    """A text with attributes."""

    gain: Any


class Number(float):
    """A number with attributes."""

    gain: Any


class Slots:
    """A class with a slot."""

    __slots__ = ("gain",)
    gain: Any


class WithSlots(Slots):
    """An object with a slot and a dictionary."""

    def __init__(self) -> None:
        self.weight = jnp.zeros(())


class Part(functools.partial):
    """A function with some of its arguments, and attributes."""

    gain: Any


@pytest.mark.parametrize(
    "held", [Text("a"), Number(1.0), WithSlots(), Part(abs, 1.0)], ids=lambda each: type(each).__name__
)
def test_all_that_an_object_holds_counts(held: Any):
    """Attributes of texts, numbers and partials of one's own types, and slots beside attributes, are constants too."""
    for gain in (1.0, 2.0):
        held.gain = gain
        assert close(solved(lambda: held.gain + getattr(held, "weight", 0.0)), gain)


@pytest.mark.parametrize("name", ["keys", "values", "items"])
def test_views_show_what_is_in_a_dictionary(name: str):
    """Keys, values and items of a dictionary count as they are when it is solved for."""
    held: dict[float, float] = {}
    view = getattr(held, name)()
    for gain in (1.0, 2.0):
        held.clear()
        held[gain] = gain
        assert close(solved(lambda: np.max(list(view))), gain)


@pytest.mark.parametrize("held", [["gain"], {"gain": 1.0}], ids=["list", "dictionary"])
def test_containers_in_static_parts_count(held: Any):
    """A list or dictionary in the static part of a tree counts as it is when it is solved for."""

    @partial(jax.tree_util.register_dataclass, data_fields=["weight"], meta_fields=["held"])
    @dataclass
    class Node:
        weight: Any
        held: Any

    node, place = Node(jnp.zeros(()), held), 0 if isinstance(held, list) else "gain"
    for gain in (1.0, 2.0):
        held[place] = gain
        assert close(solved(lambda: node.held[place] + node.weight), gain)


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (complex(1.0, 0.0), complex(1.0, -0.0))])
def test_zeros_have_signs(one: Any, other: Any):
    """Constants that differ in the sign of a zero are different ones."""
    signed = lambda value: solved(lambda: jnp.copysign(1.0, np.imag(value) if np.iscomplexobj(value) else value))  # noqa: E731
    assert close(signed(one), 1.0)
    assert close(signed(other), -1.0)


class Shy(type):
    """A class of classes that does not show what they hold."""

    def __getattribute__(cls, name: str) -> Any:
        if name == "__dict__":
            raise RuntimeError(name)
        return super().__getattribute__(name)


class Hidden(metaclass=Shy):
    """Such a class."""

    gain = 1.0


def test_a_class_may_refuse_to_be_looked_at():
    """What a metaclass raises is no error of a solve."""
    held = Hidden()
    assert close(solved(lambda: held.gain), 1.0)
    assert close(solved(lambda: Hidden.gain), 1.0)


def test_static_fields_of_equinox_are_followed(monkeypatch: pytest.MonkeyPatch):
    """A function in a static field, and a method by `super()`, read what there is when it is solved for."""
    eqx = pytest.importorskip("equinox", reason="Equinox is not installed")

    class Inner(eqx.Module):  # type: ignore[misc, name-defined]
        weight: Any
        gain: Any = eqx.field(static=True)

        def __call__(self, z: Any) -> Any:
            return 0.5 * z + self.gain() * GAIN + self.weight

    class Cell(Inner):
        def __call__(self, z: Any) -> Any:
            return super().__call__(z)

    cell = Cell(jnp.zeros(()), lambda: 2.0 * GAIN)
    for gain in (1.0, 2.0):
        monkeypatch.setitem(globals(), "GAIN", gain)
        assert close(fixed_point(cell, jnp.zeros((1, 1)), **TIGHT), jnp.full((1, 1), 4.0 * gain**2))
