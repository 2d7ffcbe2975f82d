"""`equilib run EXPERIMENT`: the options that each experiment declares, and those that every run has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from equilib.cli.details import default_text
from equilib.cli.groups import SuggestingGroup
from equilib.cli.session import Session
from equilib.options import Option, OptionError, build, describe, parse_assignments
from equilib.plugin import EntryError, ExperimentEntry
from equilib.registry import Registry
from equilib.training.request import RunRequest


class ExperimentGroup(SuggestingGroup):
    """The experiments as commands; an experiment's module is imported only when it is the one to run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the experiments' names."""
        return [provided.entry.name for provided in _session(ctx).registry().experiments()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the command of one experiment.

        Raises
        ------
        UnknownName, DuplicateError, EntryError
            If it does not exist or cannot be used.
        """
        return experiment_command(_session(ctx).registry().experiment(cmd_name))

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
            message = f"{error.option_name} must follow the experiment's name: equilib run EXPERIMENT [OPTIONS]"
            raise click.UsageError(message, ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the experiments by the summaries of their records."""
        rows = [(each.entry.name, each.entry.summary) for each in _session(ctx).registry().experiments()]
        with formatter.section("Experiments"):
            formatter.write_dl(rows or [("(none)", "no plugin provides an experiment")])


class ExperimentCommand(click.Command):
    """A command whose help lists the experiment's own options apart."""

    def __init__(self, *, own: list[click.Option], common: list[click.Option], **settings: Any) -> None:
        super().__init__(params=[*own, *common], **settings)
        self.own = own
        self.common = common

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write two sections of options."""
        for title, options in ((f"Options of {self.name}", self.own), ("Options of every run", self.common)):
            rows = [row for row in (option.get_help_record(ctx) for option in options) if row is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(
    cls=ExperimentGroup,
    options_metavar="",
    subcommand_metavar="EXPERIMENT [OPTIONS]",
    epilog="equilib run EXPERIMENT --help lists an experiment's options.",
)
def run() -> None:
    """Run an experiment."""


def experiment_command(entry: ExperimentEntry) -> click.Command:
    """Make the command of one experiment: its dataclass fields and the common options as flags.

    Raises
    ------
    EntryError
        If the experiment cannot be loaded, or declares a field that every run has.
    """
    options = describe(entry.load())
    common = _common_options()
    taken = {"help", *(option.name for option in common)} & {option.name for option in options}
    if taken:
        raise EntryError(f"experiment {entry.name!r} declares {min(taken)!r}, which is an option of every run")

    @click.pass_context
    def callback(context: click.Context, /, **given: Any) -> None:
        own = {option.name: given.pop(option.name) for option in options}
        values = {name: value for name, value in own.items() if _is_given(context, name)}
        build(entry.load(), values, owner=f"experiment {entry.name!r}")
        session = _session(context)
        given["options"] = parse_assignments(given.pop("option"))
        start(session, RunRequest(experiment=entry.name, values=values, argv=session.argv, **given))

    own = [_click_option(option) for option in options]
    return ExperimentCommand(name=entry.name, help=entry.summary, callback=callback, own=own, common=common)


def start(session: Session, request: RunRequest) -> None:
    """Carry out a run, by the training loop unless the session brings another way."""
    (session.start or _launch)(request, session.registry())


def _launch(request: RunRequest, registry: Registry) -> None:
    # Deferred: the training loop loads autograd and SciPy, which lists and help do without.
    from equilib.training.launch import launch

    launch(request, registry)


def _common_options() -> list[click.Option]:
    path = click.Path(path_type=Path, file_okay=False)
    present = click.Path(path_type=Path, file_okay=False, exists=True)
    device = click.Choice(["auto", "cpu", "cuda"])
    seed = click.IntRange(min=0)
    return [
        click.Option(["--solver"], metavar="NAME[:OPTION=VALUE,...]", help="Solver of the forward pass."),
        click.Option(
            ["-o", "--option"],
            metavar="OPTION=VALUE",
            multiple=True,
            help="An option of the solver or of its driver; may be repeated.",
        ),
        click.Option(["--adjoint"], metavar="NAME[:OPTION=VALUE,...]", help="Adjoint of the backward pass."),
        click.Option(["--device"], type=device, default="auto", show_default=True, help="Where to compute."),
        click.Option(["--seed"], type=seed, default=0, metavar="INT", show_default=True, help="Seed of the run."),
        click.Option(["--data-dir"], type=present, metavar="DIR", help="Where the data lies."),
        click.Option(["--out"], type=path, metavar="DIR", help="Where to write the run."),
        click.Option(["--overwrite"], is_flag=True, help="Let --out hold files already, and replace them."),
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


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def _session(context: click.Context) -> Session:
    session = context.obj
    if not isinstance(session, Session):
        raise TypeError("the commands run within `equilib.cli.main`, which sets up their session")
    return session
