"""Objects that answer oddly where they are asked for an attribute: what they raise or return is no business of ours."""

from __future__ import annotations

from typing import Any


class Dotted(dict[str, Any]):
    """A dictionary whose keys are attributes; another attribute is a KeyError."""

    __getattr__ = dict.__getitem__


class Raising:
    """An object that raises RuntimeError for an attribute that it has not."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self, z: Any) -> Any:
        """Return a next state."""
        return 0.5 * z


class Permissive(dict[str, Any]):
    """A dictionary that has every attribute: those that are no keys are 0."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name, 0)


AWKWARD = (Dotted, Raising, Permissive)
