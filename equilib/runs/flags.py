"""Flags of `equilib run`: each is a field of `RunRequest`, from which commands, records and reports are made."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equilib.options import Bounds, Option
from equilib.options.declaration import kinds_of
from equilib.options.named import FIXED_POINT

_METADATA = "equilib.flag"
_IN_JSON: dict[Any, Any] = {Path: str, tuple: list, Mapping: dict, float: int | float, int: int, str: str, bool: bool}
"""For each kind of value, what it is in JSON."""

_PART = "NAME[:OPTION=VALUE,...]"
_METAVARS: dict[Any, str] = {Path: "DIR", Mapping: "OPTION=VALUE", str: _PART, tuple: _PART}
"""For each kind of value without choices that is no number, how the help shows it."""

IMAGES = "images"
"""What an experiment uses that classifies images, as FIXED_POINT and ODE are what one solves."""

FILES = "files"
"""What one uses that looks for its data in `context.data_dir`."""

METHOD, TRAINING, PLACE, RECORDING, OUT = "method", "training", "place", "recording", "out"
"""What flags are about: how the model is solved; how it is trained; where and on which data; what is written when;
and where, which alone is not recorded."""


@dataclass(frozen=True, kw_only=True)
class Flag(Option):
    """One flag as its field declares it: an option, whose `name` is that of the field."""

    type: Any  # of the value: int, float, str, bool, Path, Mapping, or tuple of a text for each time that it is given
    group: str  # what it is about, such as TRAINING
    needs: str = ""  # what an experiment must use for it to make sense, one of `Recipe.uses`; empty where any will do
    spellings: tuple[str, ...] = ()  # words on the command line, where those are others than the name
    exists: bool = False  # whether the value is a folder that must be there

    @property
    def spelled(self) -> tuple[str, ...]:
        """What users type, as in ("-o", "--option")."""
        return self.spellings or (f"--{self.name.replace('_', '-')}",)

    @property
    def metavar(self) -> str | None:
        """How the help shows its value; None leaves it to the choices or the type."""
        return None if self.choices else _METAVARS.get(self.type)

    @property
    def recorded(self) -> bool:
        """Whether it decides the run, and belongs into its record."""
        return self.group != OUT

    @property
    def misfit(self) -> str:
        """Why an experiment cannot use it that does not use what it needs."""
        return {FIXED_POINT: "solves for no fixed point", IMAGES: "classifies no images", FILES: "reads no files"}[
            self.needs
        ]

    def parse(self, value: object) -> object:
        """Return `value` as the flag's type; a name stays as it is, "none" too.

        Raises OptionError as `Option.parse` does.
        """
        return value if self.type is str and not self.choices else super().parse(value)

    def accepts(self, value: object) -> bool:
        """Tell whether a value that was read from JSON is of the right kind, one of the choices, and within bounds."""
        if value is None:
            return self.optional
        if not isinstance(value, _IN_JSON[self.type]) or (isinstance(value, bool) and self.type is not bool):
            return False
        return (not self.choices or value in self.choices) and (
            not isinstance(value, int | float) or self.bounds.allow(value)
        )

    def restored(self, value: Any) -> Any:
        """Return the value that JSON holds as `value`."""
        return self.type(value) if self.type in (Path, tuple) and value is not None else value

    def arguments(self, value: Any) -> list[str]:
        """Return how `value` is typed."""
        word = self.spelled[-1]
        if value == self.default:
            return []
        if self.type is bool:
            return [word]
        if self.type is Mapping:
            return [text for name, each in value.items() for text in (word, f"{name}={each}")]
        return [text for each in (value if self.type is tuple else [value]) for text in (word, str(each))]


def flag(
    default: Any,
    group: str,
    help: str,  # noqa: A002 - the word that click, argparse and every reader expect
    *,
    needs: str = "",
    spellings: tuple[str, ...] = (),
    exists: bool = False,
    choices: tuple[object, ...] = (),
    **bounds: float,
) -> Any:
    """Declare a field of `RunRequest` as a flag; the keywords are the attributes of `Flag`, and those of `Bounds`."""
    about = {"help": help, "group": group, "needs": needs, "spellings": spellings, "exists": exists}
    metadata = {_METADATA: {**about, "choices": choices, "bounds": Bounds(**bounds)}}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def flags_of(request: type) -> tuple[Flag, ...]:
    """Return the flags that the fields of a dataclass declare, in their order."""
    hints = typing.get_type_hints(request)
    return tuple(
        _flag_of(field, hints[field.name]) for field in dataclasses.fields(request) if _METADATA in field.metadata
    )


def _flag_of(field: dataclasses.Field[Any], annotation: Any) -> Flag:
    (inner,), optional = kinds_of(annotation)
    kind = typing.get_origin(inner) or inner
    default = {} if field.default is dataclasses.MISSING else field.default
    return Flag(name=field.name, type=kind, optional=optional, default=default, **field.metadata[_METADATA])
