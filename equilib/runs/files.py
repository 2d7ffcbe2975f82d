"""Files of runs that appear whole or not at all, JSON values, and parameters from arrays."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from equilib.arrays import Tree, host_dtype, is_array, named_leaves, tree_unflatten
from equilib.errors import UserError, harmless
from equilib.machine.signals import shielded


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file beside `path` that becomes `path` once all of it is on the disk, and goes if that fails.

    Signals wait for its end. Raises OSError if it cannot be written.
    """
    part = part_of(path)
    with shielded():
        try:
            with new_file(part) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def new_file(path: Path) -> BinaryIO:
    """Open a file that was not there; what has its name is removed first: a link is not followed. Raises OSError."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def typed(command: str, *places: Path | str) -> str:
    """Return a command of `equilib` about files as one types it: quoted, and none of them taken for an option."""
    words = [f"./{each}" if str(each).startswith("-") and isinstance(each, Path) else str(each) for each in places]
    return shlex.join(["equilib", command, *words])


def remove_files(folder: Path, *patterns: str) -> None:
    """Remove the files of a folder that match, and the folder where nothing else is in it."""
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def part_of(path: Path) -> Path:
    """Return the name under which `path` is written; a process that was killed may have left it."""
    return path.with_name(f".{path.name}.part")


def sync_folder(path: Path) -> None:
    """Have the names in a folder survive a loss of power, where the system can be told."""
    if sys.platform == "win32":
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems do not know it; the content of the files is on the disk all the same.
        with suppress(OSError):
            os.fsync(opened)
    finally:
        os.close(opened)


def read_json(content: bytes) -> Any:
    """Return what JSON holds; raises ValueError if it is none, also where it is nested too deeply."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def harmless_values(value: Any) -> Any:
    """Return plain values whose texts, names included, hold nothing that a terminal obeys or a drawing cannot hold."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, dict):
        return {harmless(str(name)): harmless_values(each) for name, each in value.items()}
    return [harmless_values(each) for each in value] if isinstance(value, list) else value


def refuse_link(path: Path, error: type[Exception] = UserError) -> None:
    """Refuse a folder of a run that is a link: a run writes into its own folder only; raises `error` if it is one."""
    if path.is_symlink():
        raise error(f"{path} is a link, which is not followed; put a folder in its place, or remove it")


def json_values(value: Any) -> Any:
    """Return `value` as JSON can hold it: nan and the infinities as null, what it does not know as text."""
    if isinstance(value, Mapping):
        return {str(key): json_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def fill_tree(like: Tree, found: Mapping[str, np.ndarray], path: Path, *, error: type[UserError] = UserError) -> Tree:
    """Return the arrays of the file `path`, named by their place, in the structure of `like`; its numbers as numbers.

    Raises UserError, or `error`, if a name, a shape or a dtype differs.
    """
    wanted = dict(named_leaves(like))
    for name, leaf in wanted.items():
        shape, there = np.shape(leaf) if isinstance(leaf, int | float) else leaf.shape, found.get(name)
        if there is None or there.shape != shape:
            is_there = "missing" if there is None else f"of shape {there.shape}"
            raise error(f"{path} holds another model: {name!r}, of shape {shape} here, is {is_there}")
        dtype = host_dtype(leaf) if is_array(leaf) else None
        if there.dtype.kind not in "biuf" or (dtype is not None and dtype != there.dtype):
            own = type(leaf).__name__ if dtype is None else dtype
            raise error(f"{path} holds another model: {name!r}, of {own} here, is of {there.dtype}")
    unknown = sorted(set(found) - set(wanted))
    if unknown:
        raise error(f"{path} holds another model: there is no {unknown[0]!r} here")
    return tree_unflatten(
        like, [found[name].item() if isinstance(leaf, int | float) else found[name] for name, leaf in wanted.items()]
    )
