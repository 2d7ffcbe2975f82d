"""Which code computes a call: a kernel, chosen by its record and the arguments, or the formula."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize
from equilib.errors import UserError
from equilib.kernels import (
    OPERATIONS,
    VARIABLE,
    Family,
    Kernel,
    KernelWarning,
    UnknownKernels,
    candidates_of,
    families_in_use,
    offering,
    use_kernels,
    using_kernels,
)
from equilib.kernels import selection as module
from equilib.ops.reductions import weighted_sum
from equilib.plugin import KernelEntry, hookimpl
from equilib.plugin.kernels import kernel_families
from equilib.plugin.registry import Registry
from tests.arrays_under_test import NAMESPACES

BIG = np.linspace(-2, 2, 5000).astype("float32")


def family(name: str, *kernels: Kernel, unavailable: str = "") -> Family:
    """Return a family of these kernels."""
    return Family(name=name, package=f"{name} 1.0", make=lambda spec: kernels, unavailable=unavailable)


def kernel(code: Callable[..., Any] | Exception, *, operation: str = "tanh", **about: Any) -> Kernel:
    """Return a kernel of NumPy's arrays whose function is `code`, or that cannot be loaded."""

    def load() -> Callable[..., Any]:
        if isinstance(code, Exception):
            raise code
        return code

    return Kernel(
        **{"operation": operation, "name": "test", "about": "", "applies": lambda *args: True, **about}, load=load
    )


def constant(value: float) -> Callable[..., Any]:
    """Return code that shows that it was used: every number is `value`."""
    return lambda x, *rest: np.full(x.shape, value, x.dtype)


@pytest.fixture
def offer() -> Iterator[Callable[..., None]]:
    """Return the way to offer families; what the process uses otherwise comes back."""
    with using_kernels("auto"), offering(tuple):
        yield lambda *families: module.offer(lambda: families)


def used(x: np.ndarray = BIG, **more: Any) -> float:
    """Return the first number of a tanh."""
    return float(ops.tanh(x, **more)[0])


def test_a_kernel_computes_what_its_record_says(offer: Callable[..., None]):
    """Type, dtype, size and `applies` decide call by call; everything else is the formula's."""
    offer(family("a", kernel(constant(7), dtypes=("float32",), applies=lambda x: x.ndim == 1)))
    assert used() == 7
    assert used(BIG[:5]) == np.tanh(BIG[0])
    assert used(BIG.astype("float64")) == np.tanh(BIG.astype("float64"))[0]
    np.testing.assert_array_equal(ops.tanh(BIG[None]), np.tanh(BIG[None]))
    strict = NAMESPACES["array-api-strict"]
    np.testing.assert_array_equal(np.asarray(ops.tanh(strict.asarray(BIG))), np.tanh(BIG))
    assert float(ops.sigmoid(BIG)[0]) != 7


def test_the_choice_is_the_records_not_the_order_of_import(offer: Callable[..., None]):
    """The highest priority wins, then the first family by name, then the first kernel by name."""
    low, high = family("a", kernel(constant(1))), family("z", kernel(constant(2), priority=1))
    twins = family("b", kernel(constant(4), name="y"), kernel(constant(3), name="x"))
    for offered, expected in (((low, high), 2), ((high, low), 2), ((twins, low), 1), ((low, twins), 1), ((twins,), 3)):
        offer(*offered)
        assert used() == expected


def test_kernels_are_switched(offer: Callable[..., None]):
    """All, those of one family, or none; what was chosen before comes back."""
    offer(family("a", kernel(constant(1))), family("b", kernel(constant(2))))
    for choice, expected in (("auto", 1), ("b", 2), ("none", np.tanh(BIG)[0])):
        with using_kernels(choice):
            assert used() == expected
    assert used() == 1
    with using_kernels("b", all_sizes=True):
        assert used(BIG[:1]) == 2


def test_a_name_that_is_none_is_refused(offer: Callable[..., None]):
    """An unknown family gets a suggestion and the list, one that cannot be used here its reason; nothing changes."""
    offer(family("numba", kernel(constant(1))), family("away", unavailable="install it"))
    with pytest.raises(UnknownKernels, match=r"no kernels 'nmba'. Did you mean 'numba'\? Available: auto, none, away"):
        use_kernels("nmba")
    with pytest.raises(UserError, match="kernels 'away' cannot be used here: install it"):
        use_kernels("away")
    assert used() == 1


@pytest.mark.parametrize("code", [ImportError("no compiler"), lambda x: 1 / 0], ids=["load", "call"])
def test_a_kernel_that_fails_is_reported_once(offer: Callable[..., None], code: Any):
    """The formula takes its place, the warning names kernel, package and reason, and it is not tried again."""
    broken = family("a", kernel(code, priority=1), kernel(constant(5), operation="sigmoid"))
    offer(broken)
    with pytest.warns(KernelWarning, match=r"kernel a/test of tanh \(a 1.0\) failed \((ImportError|ZeroDivision)"):
        assert used() == np.tanh(BIG)[0]
    assert used() == np.tanh(BIG)[0]
    assert float(ops.sigmoid(BIG)[0]) == 5
    assert {each.kernel.operation: bool(each.reason) for each in candidates_of(broken)[0]} == {
        "tanh": True,
        "sigmoid": False,
    }


def test_a_family_that_fails_is_reported_once(offer: Callable[..., None]):
    """Where the records cannot be made others compute; one sentence names package, error and remedy, however asked."""

    def make(spec: str) -> Iterable[Kernel]:
        raise ImportError("a broken package")

    sentence = (
        "kernels 'a' of the package a 1.0 cannot be used (ImportError: a broken package); repair or uninstall it, "
        "or do without: --kernels none"
    )
    offer(Family(name="a", package="a 1.0", make=make), family("b", kernel(constant(2))))
    with pytest.warns(KernelWarning, match=re.escape(sentence)):
        assert used() == 2
    assert float(ops.sigmoid(BIG)[0]) == ops.sigmoid(BIG[:1])[0]
    for _ in range(2):
        with pytest.raises(UserError, match=re.escape(sentence)):
            use_kernels("a")
    offer(Family(name="a", package="a 1.0", make=make))
    with pytest.raises(UserError, match=re.escape(sentence)):
        use_kernels("a")


@pytest.mark.parametrize(
    ("kernels", "said"),
    [
        (lambda self: 1 / 0, "it raised ZeroDivisionError: division by zero"),
        (lambda self: sys.exit(0), "it raised SystemExit: 0"),
        (lambda self: [("tanh", np.tanh)], "it yields tuple instead of equilib.kernels.Kernel"),
        (
            lambda self: [replace(kernel(np.tanh), dtypes="float32")],
            "the record of one of its kernels is wrong: Kernel: 'dtypes' is 'float32', not tuple",
        ),
        (
            lambda self: [replace(kernel(np.tanh), seconds=(1.0,))],
            "the record of one of its kernels is wrong: Kernel: 'seconds' is (1.0,), not a tuple of 2",
        ),
        (
            lambda self: [replace(kernel(np.tanh), about="\x1b[2J")],
            "the record of one of its kernels is wrong: the about of a kernel holds '\\x1b', which a terminal does not "
            "show as it is; leave it out",
        ),
        (lambda self: repeat(kernel(np.tanh)), "it yields more than 1,000 kernels"),
        (lambda self: None, "it raised TypeError: 'NoneType' object is not iterable"),
    ],
    ids=["raises", "exits", "other", "types", "cost", "orders", "endless", "none"],
)
def test_whatever_a_plugins_family_does_it_is_named(offer: Callable[..., None], kernels: Any, said: str):
    """A family of a plugin that yields no kernels is left out with what it does, and named with its package."""
    registry = Registry()
    family = dataclass(frozen=True)(type("Odd", (), {"kernels": kernels}))
    entry = KernelEntry(name="odd", factory=family, summary="")
    plugin = type("Plugin", (), {"equilib_kernels": hookimpl(lambda self: [entry])})()
    registry.register(plugin, name="p", distribution="odd", version="3")
    offer(*kernel_families(registry))
    with pytest.warns(KernelWarning, match=re.escape(f"kernels 'odd' of the package odd 3 cannot be used ({said})")):
        assert used() == np.tanh(BIG)[0]


def test_a_mistake_of_the_caller_is_the_formulas_error(offer: Callable[..., None]):
    """What the formula refuses too is raised, and the kernel is not blamed."""

    def strict(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        raise RuntimeError("what a kernel says")

    blamed = family("a", kernel(strict, operation="matmul"))
    offer(blamed)
    with pytest.raises(ValueError, match="matmul"):
        ops.matmul(np.ones((100, 50)), np.ones((49, 100)))
    assert not candidates_of(blamed)[0][0].reason


def test_arguments_come_by_position_with_their_defaults(offer: Callable[..., None]):
    """However an operation is called, a kernel is given all its arguments."""
    seen: list[Any] = []

    def record(x: np.ndarray, *rest: Any) -> np.ndarray:
        seen.append(rest)
        return OPERATIONS["sum"].formula(x, *rest)

    offer(family("a", kernel(record, operation="sum")))
    ops.sum(BIG)
    ops.sum(BIG, keepdims=True)
    ops.sum_to(BIG[:, None], (1,))
    assert seen == [(None, False), (None, True), ((0,), False)]


def test_arrays_of_two_dtypes_are_left_to_the_formula(offer: Callable[..., None]):
    """A kernel is asked only where all arrays, those in sequences too, have one dtype."""
    offer(family("a", kernel(lambda x, y: np.zeros(1, x.dtype), operation="matmul")))
    matrix = BIG[:4900].reshape(70, 70)
    assert ops.matmul(matrix, matrix).shape == (1,)
    assert ops.matmul(matrix, matrix.astype("float64")).shape == (70, 70)


def test_numbers_that_are_not_pythons_are_left_to_the_formula(offer: Callable[..., None]):
    """A kernel is given plain numbers; those of NumPy's widen what the formula returns, which no kernel knows."""
    offer(family("a", kernel(lambda *args: np.zeros_like(BIG), operation="weighted_sum")))
    for number, dtype in ((0.5, "float32"), (np.float64(0.5), "float64"), (np.float32(0.5), "float32")):
        found = weighted_sum(None, (number,), (BIG,))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, 0 * BIG if type(number) is float else 0.5 * BIG)


def test_what_is_traced_is_left_to_formulas(offer: Callable[..., None]):
    """A kernel computes values and products with plain arrays; derivatives of these are the formulas'."""
    asked: list[type] = []

    def times_slope(v: np.ndarray, y: np.ndarray, activation: str) -> np.ndarray:
        asked.append(type(y))
        return v * (1 - y * y)

    weight, x = np.full((1, 1, 1, 1), 0.5), BIG.astype("float64").reshape(1, 50, 100, 1)

    def gradient(x: Any) -> Any:
        return linearize(lambda x: ops.conv2d_block(x, weight, 0.1 * x, activation="tanh"), x).vjp(np.ones(x.shape))[0]

    expected = linearize(gradient, x).jvp(x)
    offer(family("a", kernel(times_slope, operation="times_slope"), kernel(np.tanh)))
    plain = gradient(x)
    np.testing.assert_allclose(plain, 0.6 * (1 - np.tanh(0.6 * x) ** 2), rtol=1e-12)
    assert asked == [np.ndarray]
    np.testing.assert_allclose(linearize(gradient, x).jvp(x), expected, rtol=1e-12)


def test_a_kernel_is_loaded_once_whoever_asks_first(offer: Callable[..., None]):
    """Threads that ask at the same time wait for one load, and get the same bits."""
    loads: list[int] = []

    def load() -> Callable[..., Any]:
        loads.append(1)
        return constant(3)

    offer(family("a", Kernel(operation="tanh", name="k", about="", applies=lambda x: True, load=load)))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: used(), range(64))) == [3.0] * 64
    assert len(loads) == 1


def test_the_environment_chooses(offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch):
    """EQUILIB_KERNELS is the choice of a process that makes none; one that is wrong is said once."""
    monkeypatch.setattr(module, "_choice", None)
    offer(family("a", kernel(constant(1))), family("b", kernel(constant(2))))
    for choice, expected in (("", 1), ("b", 2), ("none", np.tanh(BIG)[0])):
        monkeypatch.setenv(VARIABLE, choice)
        offer(family("a", kernel(constant(1))), family("b", kernel(constant(2))))
        assert used() == expected
    monkeypatch.setenv(VARIABLE, "c")
    offer(family("a", kernel(constant(1))))
    with pytest.warns(KernelWarning, match="EQUILIB_KERNELS=c: no kernels 'c'. Available: auto, none, a; formulas"):
        assert used() == np.tanh(BIG)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.sigmoid(BIG)


def test_plugins_are_looked_for_when_a_kernel_is_of_use(monkeypatch: pytest.MonkeyPatch):
    """Importing equilib and operations on small arrays find no plugin; the first large array does."""
    code = """
import sys, numpy as np
from equilib import ops
ops.tanh(np.ones(10))
assert "equilib.plugin.registry" not in sys.modules
ops.tanh(np.ones(10_000))
assert "equilib.plugin.registry" in sys.modules
"""
    monkeypatch.delenv(VARIABLE, raising=False)
    subprocess.run([sys.executable, "-c", code], check=True)


@dataclass(frozen=True)
class Half:
    """A family with an option."""

    value: float = 0.5

    def kernels(self) -> Iterable[Kernel]:
        """Yield a tanh that is constant."""
        yield kernel(constant(self.value))


class Plugin:
    """A plugin with a family of kernels."""

    @hookimpl
    def equilib_kernels(self) -> Iterable[KernelEntry]:
        """Yield it."""
        yield KernelEntry(name="half", factory=Half, summary="Constants")


def test_a_plugin_provides_kernels_with_options(offer: Callable[..., None]):
    """What the hook yields is a family of its name and package, whose options are those of its dataclass."""
    registry = Registry()
    registry.register(Plugin(), name="p", distribution="halves", version="2.0")
    offer(*kernel_families(registry))
    assert used() == 0.5
    with using_kernels("half:value=0.25"):
        assert used() == 0.25
    with pytest.raises(UserError, match="value"):
        use_kernels("half:valeu=1")
    assert kernel_families(registry)[0].package == "halves 2.0"


def test_of_two_families_with_one_name_each_is_used_by_its_package(offer: Callable[..., None]):
    """NAME@PACKAGE says whose, with options as well; the name alone is nobody's, and by default neither computes."""
    registry = Registry()
    for package in ("halves", "doubles"):
        registry.register(Plugin(), name=f"p-{package}", distribution=package, version="2.0")
    offer(*kernel_families(registry))
    assert used() == np.tanh(BIG)[0]
    assert families_in_use() == {}
    for choice, value in {"half@halves": 0.5, "half@p-doubles": 0.5, "half@doubles:value=0.25": 0.25}.items():
        with using_kernels(choice):
            assert used() == value
    with using_kernels("half@p-doubles"):
        assert families_in_use() == {"half@doubles": "doubles 2.0"}
    with pytest.raises(
        UserError, match=r"no kernels 'half'\. Did you mean 'half@doubles'.*Available: auto, none, half@d"
    ):
        use_kernels("half")


def test_a_family_may_be_called_by_its_package(offer: Callable[..., None]):
    """What is advised where two have one name holds where one has it; another's package is refused."""
    registry = Registry()
    registry.register(Plugin(), name="p", distribution="halves", version="2.0")
    offer(*kernel_families(registry))
    for choice in ("half@halves", "half@p", "half@halves:value=0.5"):
        with using_kernels(choice):
            assert used() == 0.5
            assert families_in_use() == {"half": "halves 2.0"}
    with pytest.raises(UserError, match=r"no kernels 'half@others'\. Available: auto, none, half\."):
        use_kernels("half@others")
