"""The rules about who imports whom, and about sizes, read from the syntax of every source file."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import equilib

REPOSITORY = Path(__file__).parents[1]
CORE, PLUGINS = REPOSITORY / "equilib", REPOSITORY / "plugins"
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 300, 50

STOREYS = (
    ("errors",),
    ("kernels",),
    ("arrays",),
    ("options", "machine", "autodiff"),
    ("ops",),
    ("fixed_points",),
    ("numerics", "layers"),
    ("adjoints", "libraries"),
    ("ode", "diagnostics"),
    ("models", "plugin", "jax", "torch"),
    ("training",),
    ("runs", "testing"),
    ("experiments",),
    ("commands",),
    ("report",),
    ("cli",),
)
"""The packages of equilib from the ground up: each imports packages of lower storeys only, and no neighbour."""

FLOOR = {package: floor for floor, packages in enumerate(STOREYS) for package in packages}
ENTRIES = 28
"""Files and packages in the folder `equilib`, at most."""


@dataclass(frozen=True)
class Import:
    """One imported module or name, `name` in full, and whether a function does it."""

    file: Path
    line: int
    name: str
    inside_function: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(REPOSITORY)}:{self.line} imports {self.name}"

    def belongs_to(self, *modules: str) -> bool:
        """Tell whether it is one of the modules, or something in one of them."""
        return any(self.name == module or self.name.startswith(module + ".") for module in modules)


@cache
def sources() -> tuple[Path, ...]:
    """Return every source file of the core and of the plugins."""
    return tuple(sorted((*CORE.rglob("*.py"), *PLUGINS.rglob("*.py"))))


@cache
def module_of(file: Path) -> str:
    """Return the dotted name of the module that a file is."""
    root = PLUGINS if file.is_relative_to(PLUGINS) else REPOSITORY
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports() -> tuple[Import, ...]:
    """Return every import of every source file; `from a import b` counts as a.b."""
    return tuple(
        each for file in sources() for each in _imports(file, ast.parse(file.read_text("utf-8")), inside=False)
    )


def _imports(file: Path, node: ast.AST, *, inside: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(file, child.lineno, alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{file}:{child.lineno}: imports are absolute"
            yield from (Import(file, child.lineno, f"{child.module}.{alias.name}", inside) for alias in child.names)
        elif (
            isinstance(child, ast.Call)
            and ast.unparse(child.func).rpartition(".")[2] in ("import_module", "resolve_name")
            and isinstance(child.args[0], ast.Constant)
        ):
            yield Import(file, child.lineno, child.args[0].value.replace(":", "."), inside)
        else:
            deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(file, child, inside=deeper)


def within(*places: str) -> tuple[Import, ...]:
    """Return the imports in the modules, or packages, named."""
    return tuple(
        each
        for each in imports()
        if any(module_of(each.file) == p or module_of(each.file).startswith(p + ".") for p in places)
    )


def report(offenders: list[Import]) -> str:
    """Return one line for each."""
    return "\n".join(map(str, offenders))


def plugin_names() -> list[str]:
    """Return the packages in the plugins' root."""
    return sorted(folder.name for folder in PLUGINS.iterdir() if (folder / "__init__.py").exists())


def test_there_is_something_to_look_at():
    """The rules below are about files that exist."""
    assert len(sources()) > 50
    assert {"equilib_newton_gmres", "equilib_reference", "equilib_experiments"} <= set(plugin_names())
    assert not (PLUGINS / "__init__.py").exists(), "plugins/ is a source root, not a package"


def test_the_core_imports_no_plugin():
    """Plugins are found by their entry points; the core knows none of them by name."""
    offenders = [each for each in within("equilib") if each.belongs_to(*plugin_names(), "plugins")]
    assert not offenders, report(offenders)


def test_nothing_imports_the_command_line():
    """The command line stands on everything else, and nothing on it."""
    offenders = [
        each
        for each in imports()
        if each.belongs_to("equilib.cli") and not module_of(each.file).startswith(("equilib.cli", "equilib.__main__"))
    ]
    assert not offenders, report(offenders)


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        (("pluggy",), ("equilib.plugin", "equilib.plugin.registry")),
        (("autograd",), ("equilib.autodiff",)),
        (
            ("cupy", "cupyx"),
            ("equilib.autodiff", "equilib.machine.devices", "equilib.machine.tf32", "equilib_cuda.launches"),
        ),
        (("click",), ("equilib.cli",)),
        (("matplotlib", "jinja2"), ("equilib.report", "equilib.fixed_points.display")),
    ],
    ids=lambda each: each[0],
)
def test_a_library_is_imported_where_it_belongs(library: tuple[str, ...], allowed: tuple[str, ...]):
    """Plugins use pluggy, autodiff autograd, it and devices CuPy, the command line click, reports Matplotlib."""
    mine = {id(each) for each in within(*allowed)}
    offenders = [each for each in imports() if each.belongs_to(*library) and id(each) not in mine]
    assert not offenders, report(offenders)


def test_cupy_is_imported_inside_functions():
    """CuPy is there or not: only what works on its arrays may need it."""
    offenders = [each for each in imports() if each.belongs_to("cupy", "cupyx") and not each.inside_function]
    assert not offenders, report(offenders)


def test_every_package_has_a_storey():
    """The table names what is in the folder `equilib`, which is small enough to be seen at a glance."""
    entries = {each.name for each in CORE.iterdir() if each.name != "__pycache__"}
    assert entries == {"__init__.py", "__main__.py", "py.typed", "errors.py", *FLOOR} - {"errors"}
    assert len(entries) <= ENTRIES


def test_each_storey_stands_on_lower_ones():
    """A package imports from lower storeys only, inside functions and for type checkers too; hence no circles."""
    offenders = [
        each
        for package, floor in FLOOR.items()
        for each in within(f"equilib.{package}")
        for other in [_package(each.name)]
        if other not in (None, package) and FLOOR.get(other, len(STOREYS)) >= floor
    ]
    assert not offenders, report(offenders)


def test_equilib_itself_stands_below_the_command_line():
    """What `import equilib` loads is of packages below plugins and models, where training and runs begin."""
    offenders = [
        each
        for each in imports()
        if each.file == CORE / "__init__.py"
        and not each.inside_function
        and FLOOR.get(_package(each.name) or "", -1) >= FLOOR["models"]
    ]
    assert not offenders, report(offenders)


def test_imports_by_name_are_seen():
    """A module that is named to `import_module` counts as imported."""
    tree = ast.parse('def f():\n    importlib.import_module("equilib.cli")')
    assert [(each.name, each.inside_function) for each in _imports(CORE, tree, inside=False)] == [("equilib.cli", True)]


def _package(name: str) -> str | None:
    """Return the package of equilib that an imported name belongs to, "" for equilib itself; None for other imports."""
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] if first == "equilib" else None


def test_the_solve_loads_neither_layers_nor_automatic_differentiation():
    """`import equilib` is light: what it loads asks for operations and autodiff inside functions only."""
    light = within("equilib.fixed_points", "equilib.numerics", "equilib.adjoints", "equilib.libraries", "equilib.ode")
    offenders = [
        each
        for each in light
        if each.belongs_to("equilib.autodiff", "equilib.ops", "equilib.layers")
        and not each.inside_function
        and not module_of(each.file).startswith(
            ("equilib.ode.adjoints", "equilib.ode.calculus", "equilib.adjoints.calculus")
        )
    ]
    assert not offenders, report(offenders)


def test_plugins_use_public_modules_only():
    """A plugin imports no name with a leading underscore from the core: it could be a third party's."""
    private = lambda name: any(part.startswith("_") and not part.startswith("__") for part in name.split("."))  # noqa: E731
    offenders = [each for each in within(*plugin_names()) if each.belongs_to("equilib") and private(each.name)]
    assert not offenders, report(offenders)


def test_plugins_do_not_import_each_other():
    """Any folder of plugins/ can move to a repository of its own."""
    offenders = [
        each
        for name in plugin_names()
        for each in within(name)
        if each.belongs_to(*(other for other in plugin_names() if other != name), "equilib.cli", "plugins")
    ]
    assert not offenders, report(offenders)


def test_no_package_hides_a_module_of_its_own():
    """`import equilib.cli.run as module` gives the module: nothing else of its name stands in the package."""
    missing = [f"equilib.{library}" for library in ("torch", "jax") if importlib.util.find_spec(library) is None]
    names = [
        each.name
        for each in pkgutil.walk_packages(equilib.__path__, "equilib.", onerror=lambda _: None)
        if not each.name.startswith(tuple(missing))
    ]
    modules = {name: importlib.import_module(name) for name in names}
    for name, module in modules.items():
        package, _, own = name.rpartition(".")
        assert getattr(sys.modules[package], own) is module, name


def test_files_are_small():
    """A file holds one concept, in at most 300 lines."""
    sizes = {file: len(file.read_text("utf-8").splitlines()) for file in sources()}
    offenders = [
        f"{file.relative_to(REPOSITORY)}: {size} lines" for file, size in sizes.items() if size > LINES_OF_A_FILE
    ]
    assert not offenders, "\n".join(offenders)


def test_functions_fit_a_screen():
    """A function has at most 50 lines, its docstring and decorators not counted."""
    offenders = []
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = _lines(node)
                if size > LINES_OF_A_FUNCTION:
                    offenders.append(f"{file.relative_to(REPOSITORY)}:{node.lineno} {node.name}: {size} lines")
    assert not offenders, "\n".join(offenders)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    size = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        assert first.end_lineno is not None
        size -= first.end_lineno - first.lineno + 1
    return size
