"""Entry points of plugins in the installed packages, read one package after another, so that none hides the others."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, DistributionFinder, EntryPoint, requires
from pathlib import Path
from stat import S_ISREG
from typing import Any

from equilib.errors import said

_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*")

POINTS, ABOUT = "entry_points.txt", "METADATA"

LARGEST = 2**24
"""Bytes of a file that is read."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What the system lacks, which is no fault of a file's."""


@dataclass(frozen=True, order=True)
class Point:
    """An entry point of the group, and the package that it comes from, "" where nobody knows."""

    name: str
    value: str
    package: str = ""
    version: str = ""

    def load(self) -> Any:
        """Import what it names; raises whatever that raises, and ValueError if it names neither module nor object."""
        point = EntryPoint(self.name, self.value, "")
        if point.pattern.match(self.value) is None:
            raise ValueError(f"its entry point is {self.value!r:.60}, and neither MODULE nor MODULE:OBJECT")
        return point.load()


@dataclass(frozen=True, order=True)
class Damage:
    """A file of a package that cannot be read as what it is; `package` is its name, or else its folder's."""

    package: str
    file: str
    cause: str

    def __str__(self) -> str:
        return f"{self.file} of package {self.package!r} is damaged: {self.cause}"


def installed(group: str, *, thorough: bool = False) -> tuple[list[Point], list[Damage]]:
    """Return the entry points of a group, and what of the packages is damaged: all that is found, if `thorough`.

    Otherwise the METADATA of packages without an entry point of the group are not looked at, which takes a while.
    Of two packages with one name that is taken which comes first in `sys.path`.
    """
    points: list[Point] = []
    damages: list[Damage] = []
    seen: set[str] = set()
    for distribution in _distributions(damages):
        stem = _folder(distribution).partition("-")[0].lower().replace("_", "-").replace(".", "-")
        if stem in seen:
            continue
        seen.add(stem)
        found = _values(distribution, group, damages)
        if found or thorough:
            package, version = _identity(distribution, damages)
            points += [Point(name, value, package, version) for name, value in found]
    return sorted(points), sorted(set(damages))


def requirements(package: str) -> tuple[str, ...]:
    """Return the names of the packages that a package says it requires, those of extras not counted."""
    try:
        texts = requires(package) or ()
    except Exception:  # it is gone, or its METADATA is damaged
        return ()
    names = (_REQUIREMENT.match(text) for text in texts if "extra ==" not in text)
    return tuple(sorted({name[0] for name in names if name}))


def _distributions(damages: list[Damage]) -> Iterator[Distribution]:
    for finder in sys.meta_path:
        find = getattr(finder, "find_distributions", None)
        try:
            yield from find(DistributionFinder.Context()) if find else ()
        except Exception as error:  # of an import hook that somebody installed
            damages.append(Damage(type(finder).__module__, "an import hook", said(error)))


def _values(distribution: Distribution, group: str, damages: list[Damage]) -> list[tuple[str, str]]:
    def read() -> list[tuple[str, str]]:
        pairs = _pairs(_text(distribution, POINTS) or "")
        return [(name, value) for section, name, value in list(pairs) if section == group]

    return _guarded(read, POINTS, distribution, damages) or []


def _text(distribution: Distribution, file: str) -> str | None:
    """Return the text of a file of a package, None where there is none.

    Raises what reading raises; ValueError for what is no file, would be waited for or never ends.
    """
    folder = getattr(distribution, "_path", None)
    path = folder / file if isinstance(folder, Path) else None  # else a place in an archive
    if path is not None:
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not S_ISREG(found.st_mode):
            raise ValueError("it is no file")
        if found.st_size > LARGEST:
            raise ValueError(f"it has {found.st_size:,} bytes, where {LARGEST:,} are plenty")
    text = distribution.read_text(file)
    if text is None and path is not None:  # which is how `importlib.metadata` says it
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return text


def _guarded(read: Callable[[], Any], file: str, distribution: Distribution, damages: list[Damage]) -> Any:
    try:
        return read()
    except Exception as error:  # a file may be damaged in any way
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _EXHAUSTED):
            raise
        path, folder = getattr(distribution, "_path", None), _folder(distribution)
        damages.append(Damage(folder, file if path is None else str(Path(str(path)) / file), said(error)))
        return None


def _folder(distribution: Distribution) -> str:
    """Return the name of the folder that holds what is known of a package, as in "equilib-0.1.0.dist-info"."""
    return Path(str(getattr(distribution, "_path", ""))).name or type(distribution).__name__


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield section, name and value of each line; raises ValueError for a line that is neither."""
    section = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not (equals and name and value):
            raise ValueError(f"line {number} is {line!r:.60}, and no NAME = VALUE")
        yield section, name, value


def _identity(distribution: Distribution, damages: list[Damage]) -> tuple[str, str]:
    """Return name and version of a package; those of its folder where METADATA does not tell them."""

    def read() -> tuple[str, str]:
        text = _text(distribution, ABOUT) or _text(distribution, "PKG-INFO") or ""
        lines = text.partition("\n\n")[0].splitlines()
        told = {key.lower(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}
        if not (told.get("name") and told.get("version")):
            raise ValueError("it tells no name and version")
        return told["name"], told["version"]

    stem, _, rest = _folder(distribution).partition("-")
    return _guarded(read, ABOUT, distribution, damages) or (stem.replace("_", "-"), rest.removesuffix(".dist-info"))
