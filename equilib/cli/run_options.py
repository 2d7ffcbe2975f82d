"""Flags about how a run is recorded and what it prints."""

from __future__ import annotations

from typing import Any

import click


def saving_options() -> list[click.Option]:
    """Return the flags that make training cheaper at the price of memory or of accuracy."""
    return [
        click.Option(
            ["--warm-start"],
            type=click.Choice(["none", "equilibria", "both"]),
            default="none",
            show_default=True,
            help="What is kept of each sample to start from in the next epoch: nothing, z*, or z* and the adjoint's w.",
        ),
        click.Option(
            ["--loosen"],
            type=click.FloatRange(min=1, max=1e6),
            default=1.0,
            show_default=True,
            metavar="FLOAT",
            help="How many times as large the tolerances of training are at first; the last third has those asked for.",
        ),
    ]


def checkpoint_options() -> list[click.Option]:
    """Return the flags that say when a checkpoint is written, and what else is recorded."""
    count, minutes = click.IntRange(min=0), click.FloatRange(min=0, min_open=True)
    return [
        click.Option(
            ["--checkpoint-every"],
            type=count,
            default=1,
            show_default=True,
            metavar="INT",
            help="Epochs from one checkpoint to the next; 0: only at the end.",
        ),
        click.Option(
            ["--checkpoint-minutes"],
            type=minutes,
            metavar="FLOAT",
            help="Write a checkpoint after so many minutes as well, within an epoch too.",
        ),
        click.Option(["--tensorboard"], is_flag=True, help="Write TensorBoard event files as well."),
    ]


def log_options() -> list[click.Option]:
    """Return the flags that say what is printed."""
    return [
        click.Option(["--quiet"], is_flag=True, help="Print errors and the last line only."),
        click.Option(["--json-logs"], is_flag=True, help="Print one JSON object per line, for machines."),
    ]


def log_of(given: dict[str, Any]) -> str:
    """Take those two flags out of `given`, and return what a `RunRequest` calls it.

    Raises
    ------
    click.UsageError
        If both are set.
    """
    quiet, json_logs = given.pop("quiet"), given.pop("json_logs")
    if quiet and json_logs:
        raise click.UsageError("--quiet and --json-logs exclude each other; leave one out")
    return "quiet" if quiet else "json" if json_logs else "auto"
