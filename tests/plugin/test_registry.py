"""Plugins: what they publish, how broken ones are kept apart, and how names are looked up."""

from __future__ import annotations

import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pluggy
import pytest

from equilib.cli import main
from equilib.errors import UserError
from equilib.plugin import (
    HOOKS,
    EntryError,
    ExperimentEntry,
    SensitivityEntry,
    SolverEntry,
    hookimpl,
    hooks,
)
from equilib.plugin import registry as registry_module
from equilib.plugin.discovery import Point
from equilib.plugin.registry import DuplicateError, Registry, UnknownName

API_PAGE = Path(__file__).parents[2] / "docs" / "plugin-api.md"


@dataclass(frozen=True)
class Nothing:
    """A factory that no test runs."""


def solver(name: str) -> SolverEntry:
    """Make a solver record."""
    return SolverEntry(name=name, factory=Nothing, summary=f"The solver {name}")


def plugin(**records: list[Any]) -> SimpleNamespace:
    """Make a plugin whose hooks, named without their prefix, return the given records."""

    def implementation(hook: str, yielded: list[Any]) -> Callable[[], list[Any]]:
        def implement() -> list[Any]:
            return yielded

        implement.__name__ = hook
        return hookimpl(implement)

    return SimpleNamespace(**{f"equilib_{kind}": implementation(f"equilib_{kind}", r) for kind, r in records.items()})


@pytest.fixture
def registry() -> Registry:
    """Return a registry with two plugins."""
    made = Registry()
    made.register(plugin(solvers=[solver("newton-gmres"), solver("broyden")]), name="quasi", distribution="q-dist")
    made.register(
        plugin(
            solvers=[solver("anderson")],
            sensitivities=[SensitivityEntry(name="implicit", factory=Nothing, summary="")],
            experiments=[ExperimentEntry(name="mnist", factory=Nothing, summary="")],
        ),
        name="mixing",
    )
    return made


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], EntryPoint]]:
    """Return a function that writes a plugin's module and gives the entry point a package would declare for it."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, source: str) -> EntryPoint:
        (tmp_path / f"{name}_module.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return EntryPoint(name=name, value=f"{name}_module", group="equilib")

    yield write
    for module in set(sys.modules) - before:
        if module.endswith("_module"):
            del sys.modules[module]


GOOD = """
    from equilib.plugin import SolverEntry, hookimpl

    @hookimpl
    def equilib_solvers():
        yield SolverEntry(name="good", factory="nowhere:Good", summary="works")
"""

BROKEN = {
    "an import that fails": ("import a_library_that_is_not_there", "No module named 'a_library_that_is_not_there'"),
    "an error at import": ("1 / 0", "ZeroDivisionError"),
    "an exit at import": ("import sys; sys.exit('no')", "SystemExit: no"),
    "an unknown hook": (GOOD.replace("equilib_solvers", "equilib_solver"), "unknown hook 'equilib_solver'"),
    "wrong arguments": (GOOD.replace("solvers()", "solvers(model)"), "model"),
    "no hook": (GOOD.replace("@hookimpl", ""), "implements no hook"),
    "another record": (GOOD.replace("SolverEntry", "SensitivityEntry"), "must yield SolverEntry, not Sens"),
    "a failure after the first record": (GOOD + "        raise RuntimeError('late')", "RuntimeError: late"),
    "a BaseException at import": (
        "raise type('End', (BaseException,), {})('for all')",
        "End: for all",
    ),
    "an exception that cannot be shown": (
        "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})",
        "Mute",
    ),
    "a record of the wrong type": (GOOD.replace('"works"', "3"), "SolverEntry: 'summary' is 3, not str"),
    "capabilities of the wrong type": (
        GOOD.replace('"works"', '"", capabilities="any"'),
        "SolverEntry: 'capabilities' is 'any', not Capabilities",
    ),
    "a bad name": (GOOD.replace('"good"', '"Good Name"'), "no name for a solver"),
}


def test_listings_are_sorted_and_name_the_owner(registry: Registry) -> None:
    """Records of all plugins come in one order, each with its plugin."""
    assert [(each.entry.name, each.owner.plugin) for each in registry.provided(SolverEntry)] == [
        ("anderson", "mixing"),
        ("broyden", "quasi"),
        ("newton-gmres", "quasi"),
    ]
    assert [each.entry.name for each in registry.provided(SensitivityEntry)] == ["implicit"]
    assert [each.entry.name for each in registry.provided(ExperimentEntry)] == ["mnist"]


def test_each_kind_is_looked_up_by_name(registry: Registry) -> None:
    """A name gives the record of its own kind."""
    assert registry.get(SolverEntry, "broyden").summary == "The solver broyden"
    assert isinstance(registry.get(SensitivityEntry, "implicit"), SensitivityEntry)
    assert isinstance(registry.get(ExperimentEntry, "mnist"), ExperimentEntry)


def test_an_unknown_name_gets_a_suggestion_and_the_list(registry: Registry) -> None:
    """The error says what was probably meant and what there is."""
    with pytest.raises(UnknownName) as caught:
        registry.get(SolverEntry, "newton-gmre")
    assert str(caught.value) == (
        "no solver 'newton-gmre'. Did you mean 'newton-gmres'? Available: anderson, broyden, newton-gmres."
    )
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, LookupError)


def test_a_part_of_a_name_is_suggested_too(registry: Registry) -> None:
    """'gmres' is far from 'newton-gmres' in letters and close in meaning."""
    with pytest.raises(UnknownName, match="Did you mean 'newton-gmres'"):
        registry.get(SolverEntry, "gmres")


def test_a_name_of_another_kind_is_unknown(registry: Registry) -> None:
    """An adjoint is no solver."""
    with pytest.raises(UnknownName, match=r"no solver 'implicit'\. That is an adjoint\. Available"):
        registry.get(SolverEntry, "implicit")


def test_an_empty_registry_says_so() -> None:
    """Nothing installed is said, not an empty list shown."""
    with pytest.raises(UnknownName, match=r"no experiment 'mnist'\. No experiment is installed\."):
        Registry().get(ExperimentEntry, "mnist")


def test_a_duplicate_name_belongs_to_nobody() -> None:
    """A name that two plugins provide raises with both owners; every other name works."""
    registry = Registry()
    registry.register(plugin(solvers=[solver("same"), solver("mine")]), name="a", distribution="dist-a", version="1.0")
    registry.register(plugin(solvers=[solver("same"), solver("yours")]), name="b", distribution="dist-b", version="2.1")
    with pytest.raises(DuplicateError) as caught:
        registry.get(SolverEntry, "same")
    assert str(caught.value) == (
        "solver 'same' is provided by both 'a' (dist-a 1.0) and 'b' (dist-b 2.1); say whose, as in same@dist-b, or "
        "switch one off, as by EQUILIB_PLUGINS=-b@dist-b"
    )
    assert [each.entry.name for each in registry.provided(SolverEntry)] == ["mine", "yours"]
    assert registry.get(SolverEntry, "yours").name == "yours"
    assert [(row.status, row.cause) for row in registry.plugins()] == [("conflict", str(caught.value))] * 2


def test_the_packages_in_use_are_those_that_were_looked_up(registry: Registry) -> None:
    """They come with what they require, as their METADATA says; of those without one nothing is known."""
    assert registry.used() == ()
    registry.get(SolverEntry, "broyden")
    registry.get(SensitivityEntry, "implicit")
    assert registry.used() == ("q-dist",)
    registry.register(plugin(solvers=[solver("theirs")]), name="theirs", distribution="click")
    registry.register(plugin(solvers=[solver("others")]), name="others", distribution="jinja2")
    registry.get(SolverEntry, "others")
    assert registry.used() == ("MarkupSafe", "jinja2", "q-dist")


def test_a_name_says_whose_it_is() -> None:
    """NAME@PACKAGE, or NAME@PLUGIN where nobody knows the package, is that package's, also where others have it too."""
    registry = Registry()
    registry.register(plugin(solvers=[solver("same")]), name="a", distribution="dist-a", version="1.0")
    registry.register(plugin(solvers=[solver("same")]), name="b")
    assert registry.find(SolverEntry, "same@dist-a").owner.plugin == "a"
    assert registry.find(SolverEntry, "same@b").owner.plugin == "b"
    with pytest.raises(UnknownName, match=r"^no solver 'same@c': there is same@dist-a and same@b$"):
        registry.get(SolverEntry, "same@c")


@pytest.mark.parametrize(
    ("value", "on"),
    [
        ("", ["ours", "theirs", "yours"]),
        ("all", ["ours", "theirs", "yours"]),
        ("none", ["ours"]),
        ("yours", ["ours", "yours"]),
        ("-theirs", ["ours", "yours"]),
        ("-ours", ["theirs", "yours"]),
        ("none, yours", ["ours", "yours"]),
        ("yours,-yours", ["ours"]),
    ],
)
def test_a_variable_switches_plugins_off(
    value: str, on: list[str], publish: Callable[[str, str], EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """EQUILIB_PLUGINS keeps none or some of the third parties' and leaves out what stands after a minus."""
    monkeypatch.setenv("EQUILIB_PLUGINS", value)
    monkeypatch.setattr(registry_module, "OWN", "")  # an entry point that no package declares
    points = [publish(name, GOOD.replace('"good"', f'"{name}"')) for name in ("ours", "theirs", "yours")]
    of = {"ours": "", "theirs": "they", "yours": "you"}
    found = [Point(each.name, each.value, of[each.name]) for each in points]
    monkeypatch.setattr(registry_module, "installed", lambda group, thorough: (found, []))
    registry = Registry.discover()
    assert [row.owner.plugin for row in registry.plugins() if row.status == "ok"] == on
    off = {row.owner.plugin: row.cause for row in registry.plugins() if row.status == "off"}
    assert off == {name: "switched off by EQUILIB_PLUGINS" for name in of if name not in on}
    monkeypatch.setenv("EQUILIB_PLUGINS", "you,-theri")
    assert Registry.discover().unknown == ("theri",)


def test_the_same_name_for_different_kinds_is_no_conflict() -> None:
    """A solver and an adjoint may share a name."""
    registry = Registry()
    registry.register(plugin(solvers=[solver("gmres")]), name="a")
    registry.register(plugin(sensitivities=[SensitivityEntry(name="gmres", factory=Nothing, summary="")]), name="b")
    assert registry.conflicts() == ()
    assert registry.get(SolverEntry, "gmres").noun == "solver"


def test_rows_tell_what_each_plugin_provides(registry: Registry) -> None:
    """One row per plugin, with names by kind."""
    mixing, quasi = registry.plugins()
    assert (mixing.owner.plugin, mixing.status, dict(mixing.provides)) == (
        "mixing",
        "ok",
        {"solver": ("anderson",), "adjoint": ("implicit",), "experiment": ("mnist",)},
    )
    assert (quasi.owner.distribution, dict(quasi.provides)) == ("q-dist", {"solver": ("broyden", "newton-gmres")})


def test_registering_is_all_or_nothing() -> None:
    """A plugin with one wrong record adds none of the right ones, and the author gets the exception."""
    registry = Registry()
    with pytest.raises(TypeError, match="equilib_experiments must yield ExperimentEntry, not SolverEntry"):
        registry.register(plugin(solvers=[solver("x")], experiments=[solver("y")]), name="half")
    assert (registry.provided(SolverEntry), registry.plugins()) == ((), ())


def test_a_record_twice_from_one_plugin_is_refused() -> None:
    """One plugin cannot publish a name twice."""
    with pytest.raises(ValueError, match="equilib_solvers yields 'x' twice"):
        Registry().register(plugin(solvers=[solver("x"), solver("x")]), name="twice")


def test_a_plugin_registers_once(registry: Registry) -> None:
    """The same name and distribution cannot be registered again."""
    with pytest.raises(ValueError, match="'mixing' is already registered"):
        registry.register(plugin(solvers=[]), name="mixing")


def test_an_unknown_hook_is_refused() -> None:
    """A misspelled hook is an error, not a function that nobody calls."""
    with pytest.raises(pluggy.PluginValidationError, match="unknown hook 'equilib_solverz'"):
        Registry().register(plugin(solverz=[]), name="typo")


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_left_out_whole(case: str, publish: Callable[[str, str], EntryPoint]) -> None:
    """Whatever is wrong with one plugin, the others work, nothing of it remains, and the cause is kept."""
    source, cause = BROKEN[case]
    points = [publish("bad", source), publish("good", GOOD), publish("worse", "import nowhere_at_all")]
    registry = Registry.discover(points)
    assert [each.entry.name for each in registry.provided(SolverEntry)] == ["good"]
    bad, good, _ = registry.plugins()
    assert (bad.owner.plugin, bad.status, good.status) == ("bad", "broken", "ok")
    assert cause in bad.cause
    assert "\n" not in bad.cause


@pytest.mark.parametrize("value", ["a b c", "a:b c", "a-b", "[x]", "a: b :c", "=m"])
def test_an_entry_point_that_names_nothing_is_told_as_one(value: str) -> None:
    """What stands behind its name is a module, or an object in one; anything else is shown."""
    registry = Registry.discover([EntryPoint(name="odd", value=value, group="equilib")])
    (row,) = registry.plugins()
    assert (row.status, row.cause) == (
        "broken",
        f"ValueError: its entry point is {value!r}, and neither MODULE nor MODULE:OBJECT",
    )


def test_of_many_plugins_that_failed_a_few_are_named() -> None:
    """An error that one line cannot hold helps nobody: some causes, how many more, and which command has them all."""
    points = [EntryPoint(name=f"p{number:04}", value="a b", group="equilib") for number in range(3000)]
    with pytest.raises(UnknownName) as caught:
        Registry.discover(points).get(SolverEntry, "anderson")
    text = str(caught.value)
    assert len(text) < 2000
    assert "p0009 (ValueError: its entry point" in text
    assert text.endswith("2,990 more that 'equilib plugins' names")


def test_of_many_owners_of_one_name_a_few_are_named() -> None:
    """They are all of them listed by `equilib plugins`."""
    registry = Registry()
    for number in range(50):
        registry.register(plugin(solvers=[solver("same")]), name=f"p{number:02}", distribution=f"d{number:02}")
    with pytest.raises(DuplicateError, match=r"provided by 'p00' .d00 .* and 46 more plugins; say whose, as in same@d"):
        registry.get(SolverEntry, "same")
    with pytest.raises(UnknownName, match=r"no solver 'same@x': there is same@d00 and .* and 46 more of 'equilib solv"):
        registry.get(SolverEntry, "same@x")


def test_an_unknown_name_mentions_the_plugins_that_failed(publish: Callable[[str, str], EntryPoint]) -> None:
    """The solver that is missing may be in the plugin that did not load."""
    registry = Registry.discover([publish("jaxy", "import a_library_that_is_not_there"), publish("good", GOOD)])
    with pytest.raises(UnknownName) as caught:
        registry.get(SolverEntry, "jax-newton")
    assert str(caught.value) == (
        "no solver 'jax-newton'. Available: good. Plugins that failed to load: "
        "jaxy (ModuleNotFoundError: No module named 'a_library_that_is_not_there')"
    )


def test_strict_mode_raises_what_broke(
    publish: Callable[[str, str], EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With EQUILIB_STRICT_PLUGINS=1 the original exception comes out, and says which plugin it was."""
    monkeypatch.setenv("EQUILIB_STRICT_PLUGINS", "1")
    with pytest.raises(ZeroDivisionError) as caught:
        Registry.discover([publish("bad", "1 / 0")])
    assert "plugin 'bad'" in caught.value.__notes__[0]


def test_strict_mode_raises_duplicates(
    publish: Callable[[str, str], EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A duplicate name is fatal in strict mode, and only there."""
    points = [publish("one", GOOD), publish("two", GOOD)]
    assert len(Registry.discover(points).conflicts()) == 1
    monkeypatch.setenv("EQUILIB_STRICT_PLUGINS", "1")
    with pytest.raises(DuplicateError, match="provided by both 'one' and 'two'"):
        Registry.discover(points)


def test_discovery_is_the_same_in_any_order(publish: Callable[[str, str], EntryPoint]) -> None:
    """What is found does not depend on the order of installation."""
    points = [publish("one", GOOD), publish("two", GOOD), publish("bad", "1 / 0")]
    assert Registry.discover(points).plugins() == Registry.discover(points[::-1]).plugins()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_shows_a_plugin_that_works(hook: str) -> None:
    """The example in a hook's documentation is a complete plugin: it runs, registers, and loads."""
    (section,) = [part for part in API_PAGE.read_text(encoding="utf-8").split("\n## ") if f"`def {hook}(" in part]
    text = section.partition("A complete plugin:\n\n```python\n")[2].partition("```")[0]
    example = types.ModuleType("example")
    sys.modules["example"] = example  # dataclasses look their module up
    try:
        exec(text, vars(example))
    finally:
        del sys.modules["example"]
    registry = Registry()
    registry.register(example, name="example")
    (provided,) = registry.provided(HOOKS[hook])
    assert provided.entry.load().__name__ in vars(example)
    assert provided.entry.summary


def test_the_documented_experiment_keeps_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest experiment of the page trains, is recorded with its model, and goes on."""
    example = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", example)
    page = API_PAGE.read_text(encoding="utf-8")
    (section,) = [part for part in page.split("\n## ") if "`def equilib_experiments(" in part]
    exec(section.partition("A complete plugin:\n\n```python\n")[2].partition("```")[0], vars(example))
    registry = Registry.discover()
    registry.register(example, name="example")
    run = str(tmp_path / "run")
    assert main(["run", "sine", "--epochs", "1", "--quiet", "--out", run], registry=registry) == 0
    assert main(["resume", run, "--epochs", "2", "--quiet"], registry=registry) == 0
    assert len((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert (tmp_path / "run" / "model.npz").exists()


def test_a_hook_that_nobody_implements_yields_nothing() -> None:
    """The specifications themselves publish no record."""
    assert [list(getattr(hooks, hook)()) for hook in HOOKS] == [[] for _ in HOOKS]


def test_a_factory_given_as_text_is_imported_when_loaded(publish: Callable[[str, str], EntryPoint]) -> None:
    """Discovering a record does not import its factory; loading it does."""
    publish("lazy", "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Lazy:\n    n: int = 1\n")
    entry = SolverEntry(name="lazy", factory="lazy_module:Lazy", summary="")
    registry = Registry()
    registry.register(plugin(solvers=[entry]), name="p")
    assert "lazy_module" not in sys.modules
    assert registry.get(SolverEntry, "lazy").load()().n == 1


@dataclass
class Mutable:
    """A factory that is not frozen."""


@pytest.mark.parametrize(
    ("factory", "cause"),
    [
        ("a_library_that_is_not_there:Solver", "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"),
        ("equilib.plugin:Missing", "module 'equilib.plugin' has no attribute 'Missing'"),
        ("equilib.plugin", "is not a dataclass"),
        (int, "is not a dataclass"),
        (Mutable, "Mutable must be a frozen dataclass"),
    ],
)
def test_a_factory_that_cannot_be_used_is_one_sentence(factory: Any, cause: str) -> None:
    """A wrong factory is reported with the record's name and the cause."""
    with pytest.raises(EntryError, match=r"^solver 'x'") as caught:
        SolverEntry(name="x", factory=factory, summary="").load()
    assert cause in str(caught.value)


def test_what_is_unavailable_says_why() -> None:
    """Loading an unavailable record raises its reason and imports nothing."""
    entry = SolverEntry(name="kinsol", factory="nowhere:X", summary="", unavailable="install equilib[sundials]")
    with pytest.raises(EntryError, match=r"solver 'kinsol' cannot be used here: install equilib\[sundials\]"):
        entry.load()


@pytest.mark.parametrize("name", ["newton-gmres", "scipy:krylov", "df-sane", "tsit5", "a.b_c"])
def test_names_that_can_be_typed_are_accepted(name: str) -> None:
    """Lower-case words joined by one of -_.: are names."""
    assert solver(name).name == name


@pytest.mark.parametrize("name", ["", "Newton", "a b", "a=b", "a,b", "a:", "-a", "a--b", "ä"])
def test_names_that_a_spec_cannot_hold_are_refused(name: str) -> None:
    """A name never holds what separates it from its options."""
    with pytest.raises(ValueError, match="no name for a solver"):
        solver(name)
