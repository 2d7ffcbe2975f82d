"""The command `equilib`: its subcommands, and how they end."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import add_completion_class

from equilib.cli.check import check
from equilib.cli.check_gradient import check_gradient
from equilib.cli.compare import compare
from equilib.cli.doctor import doctor
from equilib.cli.evaluate import evaluate
from equilib.cli.experiment_command import session_of
from equilib.cli.failures import TRACEBACK, fail, guarded
from equilib.cli.kernels import kernels
from equilib.cli.listing import LISTINGS, plugins
from equilib.cli.predict import predict
from equilib.cli.report import report
from equilib.cli.restart import use_best_kernels
from equilib.cli.resume import resume
from equilib.cli.run import run
from equilib.cli.session import Session
from equilib.cli.shells import Bash, Fish, Zsh
from equilib.cli.suggesting_group import SuggestingGroup
from equilib.cli.together import join
from equilib.errors import RunError, said
from equilib.kernels import offering
from equilib.machine import signals
from equilib.machine.ranks.group import current_ranks
from equilib.plugin.kernels import kernel_families
from equilib.plugin.registry import Registry
from equilib.runs.notices import warnings_said

INTERRUPTED = 128 + signal.SIGINT  # as shells report it


class _Program(SuggestingGroup):
    """The group of all commands, whose failures are said by `main`."""

    def invoke(self, ctx: click.Context) -> object:
        """Carry out the command; raises RunError for an EOFError, which click would take for Ctrl-D."""
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise RunError(f"something that was read ended early: {said(error)}") from error


@click.group(cls=_Program, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="equilib", prog_name="equilib", message="%(prog)s %(version)s")
@click.option("--traceback", is_flag=True, help=f"Show the traceback of what fails, as {TRACEBACK}=1 does.")
@click.pass_context
def equilib(context: click.Context, *, traceback: bool) -> None:
    """Train deep equilibrium models with any solver and any adjoint."""
    session_of(context).traceback = traceback
    join(session_of(context), context.invoked_subcommand)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    run,
    resume,
    evaluate,
    predict,
    report,
    compare,
    check,
    check_gradient,
    *LISTINGS,
    kernels,
    plugins,
    doctor,
):
    equilib.add_command(command)

for shell in (Bash, Zsh, Fish):
    add_completion_class(shell)


def main(argv: Sequence[str] | None = None, *, registry: Registry | None = None) -> int:
    """Run the command line; return its exit status: 0, 2 for a user's mistake, 1 for a failure, 128 + n for a signal.

    `argv` defaults to the program's arguments, and `registry` to the installed plugins.
    """
    if argv is None:
        use_best_kernels()
    arguments = tuple(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a summary may hold what the terminal's encoding lacks
    status = _carry_out(Session(argv=arguments, given=registry))
    return current_ranks().abandon(status) if status else 0


def _carry_out(session: Session) -> int:
    try:
        with (
            signals.obeyed(),
            guarded(session),
            warnings_said(lambda text: click.echo(f"warning: {text}", err=True)),
            offering(lambda: kernel_families(session.plugins)),
        ):
            arguments = list(session.argv)
            status = equilib.main(arguments, prog_name="equilib", standalone_mode=False, obj=session) or 0
            current_ranks().close()
            return status
    except (click.Abort, KeyboardInterrupt) as error:
        ended = error.__cause__ if isinstance(error, click.Abort) else error
        if isinstance(ended, signals.Interrupted) and str(ended):
            return fail(ended, session)
        return current_ranks().failed("", INTERRUPTED)[1]
    except BaseException as error:  # a plugin may raise anything, sys.exit included
        return fail(error, session)


def _open_closed_streams() -> None:
    """Let what is printed to a stream that was closed before the program began, as by `>&-`, go nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115, it stays open
