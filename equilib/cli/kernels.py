"""`equilib kernels`: what computes the operations, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from equilib.cli.entry_details import describe_entry, full_record
from equilib.cli.output import as_json, line, print_json, print_table
from equilib.cli.suggesting_group import SuggestingGroup
from equilib.errors import did_you_mean
from equilib.kernels import (
    AUTO,
    OPERATIONS,
    Candidate,
    Kernel,
    UnknownKernels,
    candidates_of,
    chosen,
    families,
    require_choice,
)
from equilib.machine.devices import why_no_arrays
from equilib.plugin import KernelEntry
from equilib.plugin.registry import Registry

INSTALL = 'pip install "equilib[fast]"'
HEADER = ("OPERATION", "KERNEL", "ARRAYS", "LOADS IN", "USED")
RULE = (
    "Of those that apply to a call the first listed computes it: the one of the highest priority, of equals the first "
    "by family and name."
)


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@as_json
@click.pass_context
def kernels(context: click.Context, *, as_json: bool) -> None:
    """List the kernels, the first that applies computes a call; or show one family, or those of one operation."""
    if context.invoked_subcommand is None:
        require_choice()
        _ = context.obj.registry  # which warns of plugins that are left out
        _print(list(_records()), as_json=as_json)


@kernels.command("show")
@click.argument("name", metavar="FAMILY|OPERATION")
@as_json
@click.pass_context
def show(context: click.Context, name: str, *, as_json: bool) -> None:
    """Show one family with its options, or the kernels of one operation."""
    as_json = as_json or (context.parent is not None and context.parent.params["as_json"])
    registry: Registry = context.obj.registry
    known = [each.entry.name for each in (*registry.provided(KernelEntry), *registry.contested(KernelEntry))]
    if name.partition("@")[0] in known:
        provided = registry.find(KernelEntry, name)
        if as_json:
            print_json(full_record(provided, registry))
        else:
            click.echo(describe_entry(provided, registry))
        return
    records = list(_records())
    if name not in OPERATIONS:
        names = [*known, *OPERATIONS]
        raise UnknownKernels(f"no kernels or operation {name!r}.{did_you_mean(name, names)} See 'equilib kernels'.")
    _print([each for each in records if each["operation"] == name], as_json=as_json, of=f" of {name}")


def _print(records: list[dict[str, Any]], *, as_json: bool, of: str = "") -> None:
    if as_json:
        print_json(records)
        return
    if records:
        print_table(HEADER, [_cells(each) for each in records])
    if any(each["after"] for each in records):
        click.echo(line(RULE))
    absent = [f"{family.name} cannot be used here: {family.unavailable}" for family in families() if family.unavailable]
    for each in (*absent, *dict.fromkeys(each["reason"] for each in records if _lacks_arrays(each))):
        click.echo(line(each))
    if not records:
        hint = "" if absent or of else f"; {INSTALL}"
        click.echo(line(f"No kernel{of} is here: the formula computes every call{hint}."))


def _records() -> Iterator[dict[str, Any]]:
    """Yield what is known of every kernel, those of one operation in the order in which they are asked."""
    _import_operations()
    found = [each for family in families() if not family.unavailable for each in candidates_of(family)[0]]
    order = {name: place for place, name in enumerate(OPERATIONS)}
    missing = {kind: why_no_arrays(kind) for kind in {each.kernel.array for each in found}}
    asked: list[Candidate] = []
    for each in sorted(found, key=lambda each: (order.get(each.kernel.operation, len(order)), each.rank)):
        kernel, reason = each.kernel, _why_not(each, missing)
        before = [other for other in asked if not reason and _compete(other.kernel, kernel)]
        asked += [] if reason else [each]
        yield {
            "operation": kernel.operation,
            "family": each.family.name,
            "name": kernel.name,
            "about": kernel.about,
            "array": kernel.array,
            "device": kernel.device,
            "dtypes": list(kernel.dtypes),
            "seconds": list(kernel.seconds),
            "priority": kernel.priority,
            "package": each.family.package,
            "used": not reason,
            "reason": reason,
            "after": [f"{other.family.name}/{other.kernel.name}" for other in before],
        }


def _compete(one: Kernel, other: Kernel) -> bool:
    """Tell whether two kernels may be asked of the same call."""
    same = all(getattr(one, name) == getattr(other, name) for name in ("operation", "array", "device"))
    return same and not set(one.dtypes).isdisjoint(other.dtypes)


def _why_not(candidate: Candidate, missing: Mapping[str, str]) -> str:
    """Return why a kernel is not used; empty where it is, in calls that it applies to."""
    choice = chosen()
    if choice == AUTO and candidate.family.contested:
        return f"off, as its name is another's too: --kernels {candidate.family.name}"
    if choice != AUTO and not candidate.family.is_called(choice):
        return f"off, by the choice of {choice}"
    if candidate.kernel.operation not in OPERATIONS:
        return "there is no such operation"
    if candidate.reason:
        return f"failed: {candidate.reason}"
    kind = candidate.kernel.array
    return f"{_no(kind)}: {missing[kind]}" if missing[kind] else ""


def _no(array: str) -> str:
    return f"no {array} can be made here"


def _lacks_arrays(record: dict[str, Any]) -> bool:
    return str(record["reason"]).startswith(_no(record["array"]))


def _cells(record: dict[str, Any]) -> tuple[str, ...]:
    first, later = record["seconds"]
    used = _used(record)
    return (
        record["operation"],
        f"{record['family']}/{record['name']}",
        f"{record['array']} {' '.join(record['dtypes'])}",
        f"{first:g} s, then {later:g} s" if first else "-",
        f"{used}: {record['about']}" if record["used"] and record["about"] else used,
    )


def _used(record: dict[str, Any]) -> str:
    priority = f"priority {record['priority']}"
    if record["reason"]:  # which is told below where it is that of many
        return _no(record["array"]) if _lacks_arrays(record) else str(record["reason"])
    if record["after"]:
        return f"where no {' or '.join(record['after'])} applies ({priority})"
    return f"yes ({priority})"


def _import_operations() -> None:
    """Import what has operations; lists of other parts do without."""
    import equilib.numerics.arnoldi
    import equilib.numerics.combinations
    import equilib.ops
    import equilib.training.optimizers  # noqa: F401
