"""Flags of the command line, made from the declarations of options and of requests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from equilib.cli.completion import Complete, among, completed, named
from equilib.cli.entry_details import default_text
from equilib.errors import printable
from equilib.machine.devices import DEVICES
from equilib.options import Option, OptionError, parse_assignments
from equilib.plugin import KernelEntry
from equilib.plugin.registry import Registry
from equilib.runs.flags import Flag


class Place(click.Path):
    """A path, with the home of a user in the place of ~, which shells leave in `--out=~/runs`."""

    def __init__(self, **settings: bool) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; raises click.BadParameter where it is not what was asked for, or can be no name."""
        try:
            return super().convert(os.path.expanduser(value), param, ctx)
        except ValueError as error:  # a NUL, or half of a character
            raise click.BadParameter(f"{printable(str(value))!r} cannot be the name of a file", ctx, param) from error


FOLDER = Place(file_okay=False, exists=True)


class AtLeast(click.IntRange):
    """An int with a least value, shown as the bounds of declared options are."""

    name = "int"

    def _describe_range(self) -> str:
        return f">= {self.min}"


run_argument = click.argument("run", metavar="RUN", type=FOLDER)
data_dir = click.option(
    "--data-dir", type=FOLDER, metavar="DIR", help="Look for data in this folder; by default where the run found it."
)
device = click.option(
    "--device",
    type=click.Choice(DEVICES),
    help="Compute on the CPU, on a GPU, by PyTorch, or by JAX; by default on what the run used.",
)
kernels = click.option(
    "--kernels",
    metavar="NAME[:OPTION=VALUE,...]",
    shell_complete=named(KernelEntry),
    help="Compute with this family of kernels only, with all (auto) or with none; by default as the run was asked to.",
)

_WIDE = 56
"""Longer choices do not stand beside a flag on a terminal of 60 columns, but in its help."""

Choose = Callable[[Flag], bool]
"""Tells whether a command offers a flag of `equilib run`."""


def run_flags(experiment: str, registry: Registry, offers: Choose) -> list[click.Option]:
    """Return the flags of `equilib run` that a command offers and that an experiment can use.

    Raises UserError if the experiment cannot be loaded.
    """
    # Deferred: it loads autograd, which lists do without.
    from equilib.experiments.experiment import usable_flags

    return [request_flag(flag) for flag in usable_flags(experiment, registry) if offers(flag)]


def request_flag(flag: Flag) -> click.Option:
    """Return a flag whose value is that of a field of `RunRequest`."""
    names = [*flag.spelled, flag.name]
    kinds: dict[Any, dict[str, Any]] = {
        bool: {"is_flag": True},
        Path: {"type": Place(file_okay=False, exists=flag.exists)},
        tuple: {"multiple": True},
        Mapping: {"multiple": True, "callback": lambda _, __, texts: parse_assignments(texts)},
    }
    complete = completed(str(flag.name))
    if flag.type in kinds:
        settings = kinds[flag.type]
        return click.Option(names, help=flag.help, metavar=flag.metavar, shell_complete=complete, **settings)
    return _valued(names, flag, default=flag.default, metavar=flag.metavar, complete=complete)


def option_flag(option: Option) -> click.Option:
    """Return a flag for an option of an experiment; where it is not given, its value is None."""
    word = f"--{option.name.replace('_', '-')}"
    if option.type is bool and not option.optional:
        return click.Option([f"{word}/--no-{word[2:]}"], default=None, help=_help(option))
    return _valued([word], option, default=None)


def _valued(
    names: list[str],
    option: Option,
    *,
    default: object,
    metavar: str | None = None,
    complete: Complete | None = None,
) -> click.Option:
    def parse(context: click.Context, parameter: click.Parameter, text: object) -> object:
        if text is None or text == default:
            return default
        try:
            return option.parse(text)
        except OptionError as error:
            raise click.BadParameter(str(error), context, parameter) from None

    choices = [str(each) for each in option.choices]
    shown = f"[{'|'.join(choices)}]" if choices else option.type.__name__.upper()
    long = metavar is None and len(f"{names[0]} {shown}") > _WIDE
    return click.Option(
        names,
        callback=parse,
        metavar=metavar or ("NAME" if long else shown),
        help=_help(option, f"one of {', '.join(choices)}" if long else ""),
        shell_complete=complete or (among(choices) if choices else None),
    )


def _help(option: Option, among: str = "") -> str:
    """Return the help text, as a sentence, with the choices and the default, unless these are none, and the bounds."""
    text = f"{option.help[:1].upper()}{option.help[1:].removesuffix('.')}."
    default = "required" if option.required else f"default: {default_text(option)}"
    notes = [each for each in (among, "" if option.default is None else default, str(option.bounds)) if each]
    return f"{text}  [{'; '.join(notes)}]" if notes else text


def log_flags() -> list[click.Option]:
    """Return the flags that say what is printed; `log_of` reads them."""
    return [
        click.Option(["--quiet"], is_flag=True, help="Print errors and the last line only."),
        click.Option(["--json-logs"], is_flag=True, help="Print one JSON object per line, for machines."),
    ]


def log_of(given: dict[str, Any]) -> str:
    """Take those two flags out of `given`, and return what a `RunRequest` calls it.

    Raises click.UsageError if both are set.
    """
    quiet, json_logs = given.pop("quiet"), given.pop("json_logs")
    if quiet and json_logs:
        raise click.UsageError("--quiet and --json-logs exclude each other; leave one out")
    return "quiet" if quiet else "json" if json_logs else "auto"
