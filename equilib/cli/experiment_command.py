"""Commands about an experiment: its own options as flags, beside those that the command has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click
from click.core import ParameterSource

from equilib.cli.details import default_text
from equilib.cli.groups import SuggestingGroup
from equilib.cli.session import Session
from equilib.options import Option, OptionError, build, describe
from equilib.plugin import EntryError, ExperimentEntry

Make: TypeAlias = Callable[[ExperimentEntry], click.Command]
"""Makes the command of one experiment."""

Act: TypeAlias = Callable[[click.Context, dict[str, object], dict[str, Any]], None]
"""Carries out a command, given the experiment's options that the user set, and the command's options."""


class ExperimentGroup(SuggestingGroup):
    """The experiments as commands; an experiment's module is imported only when it is the one that is named."""

    def __init__(self, *, make: Make, **settings: Any) -> None:
        super().__init__(
            options_metavar="",
            subcommand_metavar="EXPERIMENT [OPTIONS]",
            epilog=f"equilib {settings['name']} EXPERIMENT --help lists an experiment's options.",
            **settings,
        )
        self.make = make

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the experiments' names."""
        return [provided.entry.name for provided in session_of(ctx).registry().provided(ExperimentEntry)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the command of one experiment.

        Raises
        ------
        UnknownName, DuplicateError, EntryError
            If it does not exist or cannot be used.
        """
        return self.make(session_of(ctx).registry().get(ExperimentEntry, cmd_name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what stands before the experiment's name: nothing but --help.

        Raises
        ------
        click.UsageError
            If another option stands there, or no experiment is named.
        """
        if not args:
            names = ", ".join(self.list_commands(ctx)) or "none is installed"
            raise click.UsageError(f"name an experiment: {names}", ctx)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            usage = f"{ctx.command_path} EXPERIMENT [OPTIONS]"
            message = f"{error.option_name} must follow the experiment's name: {usage}"
            raise click.UsageError(message, ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the experiments by the summaries of their records."""
        rows = [(each.entry.name, each.entry.summary) for each in session_of(ctx).registry().provided(ExperimentEntry)]
        with formatter.section("Experiments"):
            formatter.write_dl(rows or [("(none)", "no plugin provides an experiment")])


class ExperimentCommand(click.Command):
    """A command whose help lists the experiment's own options apart."""

    def __init__(
        self, *, own: list[click.Option], common: list[click.Option], common_title: str, **settings: Any
    ) -> None:
        super().__init__(params=[*own, *common], **settings)
        self.own = own
        self.common = common
        self.common_title = common_title

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write two sections of options."""
        for title, options in ((f"Options of {self.name}", self.own), (self.common_title, self.common)):
            rows = [row for row in (option.get_help_record(ctx) for option in options) if row is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def experiment_command(
    entry: ExperimentEntry, common: list[click.Option], act: Act, *, title: str = "Options of every run"
) -> click.Command:
    """Make the command of one experiment: its dataclass fields and the options in `common` as flags.

    Raises
    ------
    EntryError
        If the experiment cannot be loaded, or declares a field that every run has.
    """
    options = describe(entry.load())
    taken = {"help", *(option.name for option in common)} & {option.name for option in options}
    if taken:
        raise EntryError(f"experiment {entry.name!r} declares {min(taken)!r}, which is an option of every run")

    @click.pass_context
    def callback(context: click.Context, /, **given: Any) -> None:
        own = {option.name: given.pop(option.name) for option in options}
        values = {name: value for name, value in own.items() if is_given(context, name)}
        build(entry.load(), values, owner=f"experiment {entry.name!r}")
        act(context, values, given)

    own = [_click_option(option) for option in options]
    return ExperimentCommand(
        name=entry.name, help=entry.summary, callback=callback, own=own, common=common, common_title=title
    )


def method_options() -> list[click.Option]:
    """Return the flags that choose solver, adjoint and their options."""
    return [
        click.Option(
            ["--solver"],
            metavar="NAME[:OPTION=VALUE,...]",
            help="Solver of the forward pass; by default the experiment's.",
        ),
        click.Option(
            ["-o", "--option"],
            metavar="OPTION=VALUE",
            multiple=True,
            help="An option of the solver or of its driver; may be repeated.",
        ),
        click.Option(
            ["--adjoint"],
            metavar="NAME[:OPTION=VALUE,...]",
            help="Adjoint of the backward pass; by default the one that suits the solver.",
        ),
        fallback_option(),
    ]


def fallback_option() -> click.Option:
    """Return the flag that names what unconverged samples fall back on."""
    return click.Option(
        ["--fallback"],
        metavar="NAME[:OPTION=VALUE,...]",
        multiple=True,
        help="Solver of the samples that have not converged, from the initial guess; may be repeated.",
    )


def place_options() -> list[click.Option]:
    """Return the flags that choose device, seed and data."""
    present = click.Path(path_type=Path, file_okay=False, exists=True)
    device = click.Choice(["auto", "cpu", "cuda"])
    seed = click.IntRange(min=0)
    return [
        click.Option(["--device"], type=device, default="auto", show_default=True, help="Where to compute."),
        click.Option(["--seed"], type=seed, default=0, metavar="INT", show_default=True, help="Seed of the run."),
        click.Option(
            ["--data-dir"],
            type=present,
            metavar="DIR",
            help="Where the data lies; by default EQUILIB_DATA_DIR, then the cache.",
        ),
    ]


def out_options() -> list[click.Option]:
    """Return the flags that choose where to write."""
    path = click.Path(path_type=Path, file_okay=False)
    return [
        click.Option(["--out"], type=path, metavar="DIR", help="Where to write; by default a new folder in runs."),
        click.Option(["--overwrite"], is_flag=True, help="Replace the run in --out; other files there stay."),
    ]


def _click_option(option: Option) -> click.Option:
    flag = f"--{option.name.replace('_', '-')}"
    default = "required" if option.required else f"default: {default_text(option)}"
    if option.type is bool and not option.optional:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, help=f"{option.help}  [{default}]")

    def parse(context: click.Context, parameter: click.Parameter, text: str | None) -> object:
        try:
            return None if text is None else option.parse(text)
        except OptionError as error:
            raise click.BadParameter(str(error), context, parameter) from None

    metavar = f"[{'|'.join(map(str, option.choices))}]" if option.choices else option.type.__name__.upper()
    bounds = f"; {option.bounds}" if str(option.bounds) else ""
    return click.Option([flag], metavar=metavar, callback=parse, help=f"{option.help}  [{default}{bounds}]")


def is_given(context: click.Context, name: str) -> bool:
    """Tell whether the user gave a value for a flag."""
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def session_of(context: click.Context) -> Session:
    """Return the session that `equilib.cli.main` set up.

    Raises
    ------
    TypeError
        If the command runs without it.
    """
    session = context.obj
    if not isinstance(session, Session):
        raise TypeError("the commands run within `equilib.cli.main`, which sets up their session")
    return session
