"""Lists of plugins and of what they provide: `equilib plugins`, and a command for each kind of entry."""

from __future__ import annotations

from typing import Any

import click

from equilib.cli.completion import named
from equilib.cli.entry_details import OF, describe_entry, entry_record, full_record
from equilib.cli.output import as_json, print_json, print_table
from equilib.cli.session import Session
from equilib.cli.suggesting_group import SuggestingGroup
from equilib.plugin import HOOKS, DatasetEntry, Entry, IntegratorEntry, KernelEntry, SensitivityEntry
from equilib.plugin.registry import PluginRow, Provided

_ABOUT: dict[type[Entry], str] = {
    IntegratorEntry: "integrators of y' = f(t, y)",
    SensitivityEntry: "adjoints (ways to differentiate)",
    DatasetEntry: "data sets",
}


@click.command()
@as_json
@click.pass_obj
def plugins(session: Session, *, as_json: bool) -> None:
    """List the installed plugins, also broken ones and those switched off, and packages with damaged files."""
    session.thorough = True
    rows = session.plugins.plugins()
    if as_json:
        print_json([_plugin_record(row) for row in rows])
    elif rows:
        header = ("PLUGIN", "PACKAGE", "STATUS", "PROVIDES")
        print_table(header, [_plugin_cells(row) for row in rows])
    else:
        click.echo("No plugin is installed.")


def _plugin_record(row: PluginRow) -> dict[str, object]:
    return {
        "name": row.owner.plugin,
        "distribution": row.owner.distribution,
        "version": row.owner.version,
        "status": row.status,
        "cause": row.cause,
        "provides": {kind.plural: list(row.provides.get(kind.noun, ())) for kind in HOOKS.values()},
    }


def _plugin_cells(row: PluginRow) -> tuple[str, str, str, str]:
    provides = "; ".join(f"{noun} {', '.join(names)}" for noun, names in row.provides.items())
    text = ". ".join(part for part in (row.cause, provides) if part)
    return row.owner.plugin or "-", f"{row.owner.distribution} {row.owner.version}", row.status, text


def _listing(kind: type[Entry]) -> click.Group:
    """Make the group that lists the entries of one kind, with the command `show` for one of them."""
    text = f"List the {_ABOUT.get(kind, kind.plural.replace('-', ' '))}, or show one."

    @click.group(kind.plural, cls=SuggestingGroup, invoke_without_command=True, help=text)
    @as_json
    @click.pass_context
    def group(context: click.Context, *, as_json: bool) -> None:
        if context.invoked_subcommand is None:
            _print_list(context.obj, kind, as_json=as_json)

    @group.command("show", help=f"Show one {kind.noun}: what it does, and its options.")
    @click.argument("name", shell_complete=named(kind))
    @as_json
    @click.pass_context
    def show(context: click.Context, name: str, *, as_json: bool) -> None:
        registry = context.obj.registry
        provided = registry.find(kind, name)
        if as_json or (context.parent is not None and context.parent.params["as_json"]):
            print_json(full_record(provided, registry))
        else:
            click.echo(describe_entry(provided, registry))

    return group


def _print_list(session: Session, kind: type[Entry], *, as_json: bool) -> None:
    provided = session.registry.provided(kind)
    if as_json:
        print_json([entry_record(each) for each in provided])
    elif provided:
        header = ("NAME", "PLUGIN", *(("OF",) if kind is SensitivityEntry else ()), "SUMMARY")
        print_table(
            header, [(each.entry.name, each.owner.plugin, *_of(each.entry), _summary(each)) for each in provided]
        )
    else:
        click.echo(f"No {kind.noun} is installed.")


def _of(entry: Entry) -> tuple[str, ...]:
    return (OF[entry.solves],) if isinstance(entry, SensitivityEntry) else ()


def _summary(provided: Provided[Any]) -> str:
    entry = provided.entry
    return f"{entry.summary} (not here: {entry.unavailable})" if entry.unavailable else entry.summary


LISTINGS = tuple(_listing(kind) for kind in HOOKS.values() if kind is not KernelEntry)
"""One command for each kind of entry, named after it; kernels are listed one by one."""
