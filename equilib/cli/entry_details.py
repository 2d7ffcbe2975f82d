"""Details of one entry of a plugin, as text and as JSON values."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from equilib.cli.output import labelled, line, paragraph, table, terminal_width
from equilib.fixed_points.options import SolveOptions
from equilib.options import Option, PartOption, describe, unfold
from equilib.options.named import FIXED_POINT, ODE
from equilib.plugin import entries
from equilib.plugin.registry import Provided, Registry

_WITH_OPTIONS = "{flag} {name} or {flag} {name}:OPTION=VALUE,OPTION=VALUE"

USES = {
    entries.SolverEntry: _WITH_OPTIONS.replace("{flag}", "--solver"),
    entries.SensitivityEntry: _WITH_OPTIONS.replace("{flag}", "--adjoint"),
    entries.OptimizerEntry: _WITH_OPTIONS.replace("{flag}", "--optimizer"),
    entries.DatasetEntry: _WITH_OPTIONS.replace("{flag}", "--data"),
    entries.LinearSolverEntry: "--solver newton-gmres:linear_solver={name}, its options as linear_solver.OPTION=VALUE",
    entries.IntegratorEntry: "--solver steady:integrator={name},integrator.OPTION=VALUE; where an experiment solves an "
    "ODE, --solver {name}:OPTION=VALUE",
    entries.KernelEntry: _WITH_OPTIONS.replace("{flag}", "--kernels"),
    entries.ExperimentEntry: "equilib run {name} --help",
    entries.CommunicatorEntry: "mpiexec -n 4 equilib run EXPERIMENT",
}
"""How an entry of the kind is chosen on the command line."""

OF = {FIXED_POINT: "fixed point", ODE: "integration"}
"""What an adjoint differentiates, in lists."""

FEW = 6
"""The most names of parts that are listed where an option is described; of more there is a list of their own."""


def entry_record(provided: Provided[Any]) -> dict[str, object]:
    """Return everything about an entry but its options, without importing its factory."""
    entry, owner = provided.entry, provided.owner
    record = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry) if field.name != "factory"}
    if isinstance(entry, entries.SolverEntry | entries.IntegratorEntry):
        record["capabilities"] = dataclasses.asdict(entry.capabilities)
    return record | dataclasses.asdict(owner)


def full_record(provided: Provided[Any], registry: Registry) -> dict[str, object]:
    """Return everything about an entry, its options too, for which the factory is imported."""
    entry = provided.entry
    options = () if entry.unavailable else tuple(unfold(entry.blueprint(), registry))
    record = entry_record(provided) | {"options": [_option_record(option) for option in options]}
    if isinstance(entry, entries.SolverEntry):
        record["solve_options"] = [_option_record(option) for option in describe(SolveOptions)]
    return record


def _option_record(option: Option) -> dict[str, object]:
    return {
        "name": option.name,
        "type": option.type.__name__,
        "part": option.kind if isinstance(option, PartOption) else None,
        "optional": option.optional,
        "required": option.required,
        "default": None if option.required else _finite(option.default),
        "choices": list(option.choices),
        "help": option.help,
    } | {name: _finite(bound) for name, bound in dataclasses.asdict(option.bounds).items()}


def _finite(value: object) -> object:
    # JSON has no infinity.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def describe_entry(provided: Provided[Any], registry: Registry) -> str:
    """Return the text of `show`: facts, advice, options."""
    entry = provided.entry
    place = entry.factory if isinstance(entry.factory, str) else f"{entry.factory.__module__}:{entry.factory.__name__}"
    facts = [
        ("from", f"plugin {provided.owner}"),
        ("class", place.replace(":", ".")),
        *_spelling(entry, registry),
        *_facts(entry),
    ]
    parts = [line(f"{entry.name}: {entry.summary}"), labelled(facts)]
    if entry.advice:
        parts.append(paragraph(entry.advice))
    if not entry.unavailable:
        parts.append(_options(entry, registry))
    return "\n\n".join(parts)


def _spelling(entry: entries.Entry, registry: Registry) -> list[tuple[str, str]]:
    if not entry.preset:
        return []
    values = ",".join(f"{name}={value}" for name, value in entry.preset.items())
    return [("stands for", f"{registry.name_of(entry.noun, entry.factory)}:{values}")]


def _facts(entry: entries.Entry) -> list[tuple[str, str]]:
    facts = []
    if entry.unavailable:
        facts.append(("not here", entry.unavailable))
    if isinstance(entry, entries.SolverEntry):
        needs = entry.capabilities
        products = [name for name, needed in (("J v", needs.needs_jvp), ("J^T w", needs.needs_vjp)) if needed]
        facts += [("uses", " and ".join(["f(z)", *products])), *_batch_facts(needs)]
    if isinstance(entry, entries.IntegratorEntry):
        facts.append(("order", str(entry.order)))
    if isinstance(entry, entries.SolverEntry | entries.IntegratorEntry):
        facts.append(("adjoint", f"{entry.adjoint}, unless --adjoint names another"))
    if isinstance(entry, entries.LinearSolverEntry):
        facts += _batch_facts(entry)
    if isinstance(entry, entries.SensitivityEntry):
        facts.append(("of", "the solution of an ODE" if entry.solves == ODE else "a fixed point"))
        facts.append(("gradient", "exact" if entry.exact else "approximate"))
        if entry.solves == FIXED_POINT:
            facts.append(("solvers", " and ".join(entry.solvers) or "any"))
    return facts


def _batch_facts(entry: entries.Capabilities | entries.LinearSolverEntry) -> list[tuple[str, str]]:
    return [
        ("samples", "coupled within a batch" if entry.couples_samples else "independent of each other"),
        ("arrays", ", ".join(entry.backends)),
    ]


def _options(entry: entries.Entry, registry: Registry) -> str:
    rows = [
        (option.name, _expects(option, registry), default_text(option), option.help)
        for option in unfold(entry.blueprint(), registry)
    ]
    header = ("OPTION", "VALUE", "DEFAULT", "MEANING")
    parts = [table(header, rows, width=terminal_width()) if rows else "It has no options of its own."]
    if isinstance(entry, entries.SolverEntry):
        # Without defaults: those are the experiment's.
        every = [(option.name, option.expects, option.help) for option in describe(SolveOptions)]
        parts.append("Of every solver:\n\n" + table(("OPTION", "VALUE", "MEANING"), every, width=terminal_width()))
    parts.append(line(f"Use: {USES[type(entry)].format(name=entry.name)}"))
    return "\n\n".join(parts)


def _expects(option: Option, registry: Registry) -> str:
    names = registry.names(option.kind) if isinstance(option, PartOption) and not option.choices else ()
    return dataclasses.replace(option, choices=names).expects if 0 < len(names) <= FEW else option.expects


def default_text(option: Option) -> str:
    """Return the default as a user would type it."""
    if option.required:
        return "required"
    if option.default is None or isinstance(option.default, bool):
        return str(option.default).lower()
    return str(option.default)
