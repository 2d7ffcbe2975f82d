"""`equilib check NAME`: the conformance kit on what is installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import click

from equilib.cli.completion import named
from equilib.cli.output import FAILED, as_json, print_json, print_table
from equilib.errors import did_you_mean, first_of
from equilib.options import OptionError, parse_spec
from equilib.plugin import Entry
from equilib.plugin.registry import MOST_NAMED, Registry, UnknownName
from equilib.testing import Check, Outcome, run_checks
from equilib.testing.entries import CHECKED, entry_checks

HEADER = ("CHECK", "RESULT", "REASON AND EVIDENCE")
KINDS = [kind.noun for kind in CHECKED]


@click.command()
@click.argument("name", metavar="NAME[:OPTION=VALUE,...]", shell_complete=named(*CHECKED))
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    metavar="KIND",
    help=f"Check the entry of this kind, where several share the name; by default all of them.  [one of "
    f"{', '.join(KINDS)}]",
)
@as_json
@click.pass_context
def check(context: click.Context, name: str, *, kind: str | None, as_json: bool) -> None:
    """Check that a plugin keeps its contract: a solver, an adjoint, an optimizer or what else has the name."""
    bare, values = parse_spec(name)
    registry = context.obj.registry
    records: list[dict[str, str]] = []
    for each, checks in _checks(registry, bare, kind, values).items():
        outcomes = list(run_checks(checks))
        records += [_record(each, outcome) for outcome in outcomes]
        if not as_json:
            _print(f"{each.noun.capitalize()} {name}", outcomes)
    if as_json:
        print_json(records)
    if any(record["status"] == "failed" for record in records):
        context.exit(FAILED)


def _checks(
    registry: Registry, name: str, noun: str | None, values: Mapping[str, str]
) -> dict[type[Entry], list[Check]]:
    """Return the checks of the entries of this name that have the options; raises OptionError if none has."""
    found: dict[type[Entry], list[Check]] = {}
    refusals = []
    for kind in _kinds(registry, name, noun):
        try:
            found[kind] = entry_checks(registry, kind, name, values)
        except OptionError as error:
            refusals.append(str(error))
    if not found:
        raise OptionError(" ".join(refusals))
    return found


def _print(title: str, outcomes: list[Outcome]) -> None:
    print_table(HEADER, [(str(outcome.check), outcome.status, _text(outcome)) for outcome in outcomes])
    counts = Counter(outcome.status for outcome in outcomes)
    words = {"ok": "passed", "failed": "failed", "skipped": "skipped"}
    shown = [f"{counts[each]} {word}" for each, word in words.items() if counts[each] or each == "failed"]
    click.echo(f"\n{title}: {', '.join(shown)}.")


def _kinds(registry: Registry, name: str, noun: str | None) -> list[type[Entry]]:
    """Return the kinds of record that have this name; several where a solver is called like its integrator."""
    wanted, bare = [kind for kind in CHECKED if noun in (None, kind.noun)], name.partition("@")[0]
    names = {kind: [each.entry.name for each in registry.provided(kind)] for kind in wanted}
    conflicts = {conflict.noun for conflict in registry.conflicts() if conflict.name == bare}
    kinds = [kind for kind in wanted if bare in names[kind] or kind.noun in conflicts]
    if kinds:
        return kinds
    known = sorted({each for listed in names.values() for each in listed})
    broken = [row.owner.plugin for row in registry.plugins() if row.status == "broken"]
    failed = (
        f" Plugins that failed to load: {', '.join(first_of(broken, MOST_NAMED, 'plugins'))}; see 'equilib plugins'."
        if broken
        else ""
    )
    available = f" Available: {', '.join(first_of(known, MOST_NAMED, 'names'))}." if known else " None is installed."
    nouns = " or ".join(kind.noun for kind in wanted)
    raise UnknownName(f"no {nouns} {name!r}.{did_you_mean(name, known)}{available}{failed}")


def _record(kind: type[Entry], outcome: Outcome) -> dict[str, str]:
    return {
        "kind": kind.noun,
        "check": outcome.check.name,
        "status": outcome.status,
        "reason": outcome.check.reason,
        "evidence": outcome.evidence,
    }


def _text(outcome: Outcome) -> str:
    return f"{outcome.check.reason} Here {outcome.evidence}." if outcome.evidence else outcome.check.reason
