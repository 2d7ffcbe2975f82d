"""Switches of plugins: what the environment variable EQUILIB_PLUGINS leaves out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from equilib.plugin.discovery import Point

VARIABLE = "EQUILIB_PLUGINS"
"""The environment variable that switches plugins off."""

NONE = "none"


@dataclass(frozen=True)
class Switches:
    """Names of plugins or packages, or NAME@PACKAGE: third parties' that alone are `wanted`, and what is `unwanted`.

    Without `wanted` all of them are, unless `none` of them is.
    """

    wanted: frozenset[str] = frozenset()
    unwanted: frozenset[str] = frozenset()
    none: bool = False

    @classmethod
    def of(cls, text: str) -> Switches:
        """Read "none", or names with commas between them; one after a minus is unwanted."""
        words = {word.strip() for word in text.split(",")} - {"", "all"}
        unwanted = frozenset(word[1:].strip() for word in words if word.startswith("-"))
        wanted = frozenset(word for word in words if not word.startswith("-")) - {NONE}
        return cls(wanted, unwanted, NONE in words)

    def off(self, point: Point, *, own: bool) -> bool:
        """Tell whether a plugin is left out; of our own only what is named after a minus is."""
        called = _called(point)
        if called & self.unwanted:
            return True
        return not own and (self.none or bool(self.wanted)) and not called & self.wanted

    def unknown(self, points: Iterable[Point]) -> tuple[str, ...]:
        """Return the names that no plugin and no package has."""
        known = {name for point in points for name in _called(point)}
        return tuple(sorted((self.wanted | self.unwanted) - known))


def _called(point: Point) -> set[str]:
    return {point.name, point.package, f"{point.name}@{point.package}"}
