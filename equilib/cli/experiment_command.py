"""Commands about an experiment: its own options as flags, beside those that the command has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import click
from click.core import ParameterSource

from equilib.cli.flags import Choose, option_flag, run_flags
from equilib.cli.session import Session
from equilib.cli.suggesting_group import SuggestingGroup
from equilib.errors import UserError
from equilib.options import build, describe
from equilib.plugin import EntryError, ExperimentEntry
from equilib.plugin.registry import Provided, Registry
from equilib.runs.request import FLAGS, RunRequest

Act: TypeAlias = Callable[..., None]
"""Carries out a command, given the context, the request, and by their names the values of the command's own options."""


class ExperimentGroup(SuggestingGroup):
    """The experiments as commands; an experiment's module is imported only when it is the one that is named.

    A command has the experiment's options, under `title` those flags of `equilib run` that the experiment can use and
    the command `offers`, and `before` and `after` them its own. Where it `solves` "fixed point" or "ode", it lists
    experiments that solve that.
    """

    def __init__(
        self,
        act: Act,
        *,
        offers: Choose = lambda flag: True,
        before: Sequence[click.Option] = (),
        after: Sequence[click.Option] = (),
        title: str = "Options of every run",
        solves: str = "",
        **settings: Any,
    ) -> None:
        super().__init__(
            options_metavar="",
            subcommand_metavar="EXPERIMENT [OPTIONS]",
            epilog=f"equilib {settings['name']} EXPERIMENT --help lists an experiment's options.",
            **settings,
        )
        self.act, self.offers, self.before, self.after, self.title = act, offers, before, after, title
        self.solves = solves

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the experiments' names."""
        return [provided.entry.name for provided in self._listed(ctx)]

    def _listed(self, ctx: click.Context) -> list[Provided[ExperimentEntry]]:
        registry = session_of(ctx).registry
        return [each for each in registry.provided(ExperimentEntry) if not self.solves or self._suits(each, registry)]

    def _suits(self, provided: Provided[ExperimentEntry], registry: Registry) -> bool:
        # Deferred: it loads autograd, which other lists do without.
        from equilib.experiments.experiment import make_experiment

        try:
            request = RunRequest(experiment=provided.entry.name)
            return make_experiment(request, registry).make_recipe().solves == self.solves
        except UserError:  # which is for those to report who use it
            return True

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of one experiment; None where only completion asks and there is none.

        Raises UnknownName, DuplicateError, EntryError if it does not exist, cannot be used, or declares a field that
        every run has.
        """
        session = session_of(ctx)
        if ctx.resilient_parsing and cmd_name not in self.list_commands(ctx):
            return None
        entry = session.registry.get(ExperimentEntry, cmd_name)
        options, flags = describe(entry.load()), run_flags(cmd_name, session.registry, self.offers)
        common = [*self.before, *flags, *self.after]
        taken = {"help", *(option.name for option in common)} & {option.name for option in options}
        if taken:
            raise EntryError(f"experiment {entry.name!r} declares {min(taken)!r}, which is an option of every run")

        @click.pass_context
        def callback(context: click.Context, /, **given: Any) -> None:
            own = {option.name: given.pop(option.name) for option in options}
            defaults = {name for name in own if context.get_parameter_source(name) is ParameterSource.DEFAULT}
            values = {name: value for name, value in own.items() if name not in defaults}
            build(entry.load(), values, owner=f"experiment {entry.name!r}")
            asked = {str(flag.name): given.pop(str(flag.name)) for flag in flags}
            self.act(context, RunRequest(experiment=cmd_name, values=values, argv=session.argv, **asked), **given)

        sections = {f"Options of {entry.name}": [option_flag(option) for option in options], self.title: common}
        return ExperimentCommand(name=cmd_name, help=entry.summary, callback=callback, sections=sections)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what stands before the experiment's name: nothing but --help.

        Raises click.UsageError if another option stands there, or no experiment is named.
        """
        if not args and not ctx.resilient_parsing:
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
        rows = [(each.entry.name, each.entry.summary) for each in self._listed(ctx)]
        with formatter.section("Experiments"):
            formatter.write_dl(rows or [("(none)", "no plugin provides an experiment")])


class ExperimentCommand(click.Command):
    """A command whose help lists the experiment's own options apart."""

    def __init__(self, *, sections: dict[str, list[click.Option]], **settings: Any) -> None:
        super().__init__(params=[option for options in sections.values() for option in options], **settings)
        self.sections = sections

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the flags.

        Raises click.UsageError if one is unknown; the message says why this experiment lacks one that others have.
        """
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            for flag in FLAGS:
                if error.option_name in flag.spelled and flag.needs:
                    message = f"experiment {self.name!r} {flag.misfit}: leave out {error.option_name}"
                    raise click.UsageError(message, ctx) from error
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write two sections of options."""
        for title, options in self.sections.items():
            rows = [row for row in (option.get_help_record(ctx) for option in options) if row is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def session_of(context: click.Context) -> Session:
    """Return the session that `equilib.cli.main` set up; raises TypeError if the command runs without it."""
    if not isinstance(context.obj, Session):
        raise TypeError("the commands run within `equilib.cli.main`, which sets up their session")
    return context.obj
