"""The API that authors use is the API that is documented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.test_docs import PAGES, blocks
from tests.docs.test_website import DOCS, MODULES, REPOSITORY

PROGRAMS = {
    str(file.relative_to(REPOSITORY)): [file.read_text(encoding="utf-8")]
    for folder in (REPOSITORY / "plugins", DOCS / "examples")
    for file in sorted(folder.rglob("*.py"))
} | {str(page.relative_to(REPOSITORY)): blocks(page, "python") for page in PAGES if DOCS in page.parents}


def imported(program: str) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of everything that a program imports from equilib."""
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "equilib")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "equilib":
            assert node.module is not None
            yield from ((node.module, alias.name) for alias in node.names)


def is_documented(module: str, name: str) -> bool:
    """Tell whether a page of the API names the module that something is imported from, and it has a docstring."""
    if f"{module}.{name}".strip(".") in MODULES:
        return True
    if module not in MODULES or name.startswith("_"):
        return False
    public = declared(module)
    return (name in public if public is not None else defines(module, name)) and has_docstring(module, name)


def defines(module: str, name: str) -> bool:
    """Tell whether the name is made in the module, not imported there."""
    return any(name in targets for targets, _ in made(module))


def has_docstring(module: str, name: str) -> bool:
    """Tell whether a class, a function or a constant has a docstring, where it is made."""
    module, name = origin(module, name)
    return any(name in targets and described for targets, described in made(module))


def made(module: str) -> Iterator[tuple[set[str], bool]]:
    """Yield the names that each statement of a module makes, and whether a docstring belongs to them."""
    body = syntax(module).body
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield {node.name}, ast.get_docstring(node) is not None
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield (
                {each.id for each in targets if isinstance(each, ast.Name)},
                isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant),
            )


def entries() -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    """Yield what stands on the pages, each once: the module that makes it, and its syntax."""
    seen = set()
    for page in MODULES:
        if source(page) is None:  # it is a function
            seen.add(tuple(page.rsplit(".", 1)))
            continue
        public = declared(page)
        names = public or [name for some, _ in made(page) for name in some if not name.startswith("_")]
        seen |= {origin(page, each) for each in names}
    for module, name in sorted(seen):
        for node in syntax(module).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                yield module, node


def origin(module: str, name: str) -> tuple[str, str]:
    """Return the module that makes a name of a module, and the name."""
    for node in ast.walk(syntax(module)):
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            assert node.module is not None
            return origin(node.module, name)
    return module, name


def deals_with_arrays(function: ast.FunctionDef) -> bool:
    """Tell whether a function takes or returns arrays."""
    every = (*function.args.args, *function.args.kwonlyargs)
    annotations = [*(each.annotation for each in every), function.returns]
    return any(re.search(r"\b(Array|ndarray)\b", ast.unparse(each)) for each in annotations if each)


@cache
def syntax(module: str) -> ast.Module:
    """Return the syntax tree of a module, which is not imported: what it needs may not be installed."""
    file = source(module)
    assert file is not None, module
    return ast.parse(file.read_text(encoding="utf-8"))


def source(module: str) -> Path | None:
    """Return the file of a module of equilib, None where there is no such module."""
    path = REPOSITORY / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def declared(module: str) -> list[str] | None:
    """Return the `__all__` of a module, None where it has none."""
    for node in syntax(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def test_there_is_something_to_look_at() -> None:
    """The law below is about many names, and finds what is on no page."""
    assert sum(len(list(imported(each))) for each in PROGRAMS["plugins/equilib_auto/solver.py"]) > 5
    assert is_documented("equilib", "solve")
    assert is_documented("equilib", "ops")
    assert is_documented("equilib.plugin", "TIME_STEPS")
    assert not is_documented("equilib.machine.blas", "kernel")
    assert not is_documented("equilib.numerics.gmres", "np")
    assert not is_documented("equilib.numerics.gmres", "orthogonalized")


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_authors_import_is_documented(program: str) -> None:
    """Every name that a plugin of ours, the example package or a page imports from equilib is on an API page, there."""
    names = {each for text in PROGRAMS[program] for each in imported(text)}
    missing = sorted(f"{module}: {name}" for module, name in names if not is_documented(module, name))
    assert missing == []


def test_what_deals_with_arrays_names_shapes() -> None:
    """The docstring of every function and method on the pages that takes or returns arrays says of which shape."""
    silent = []
    for module, entry in entries():
        methods = entry.body if isinstance(entry, ast.ClassDef) else [entry]
        for each in methods:
            if not isinstance(each, ast.FunctionDef):
                continue
            public = each.name == "__call__" or not each.name.startswith("_")
            if public and deals_with_arrays(each) and not re.search(r"shape|\(batch", ast.get_docstring(each) or ""):
                silent.append(f"{module}: {entry.name}.{each.name}")
    assert silent == []
