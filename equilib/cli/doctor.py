"""`equilib doctor`: the installation, the kernels of BLAS, the plugins, and what to do about them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import requires, version
from typing import Any

import click

from equilib.cli.output import FAILED, as_json, print_json, print_table
from equilib.errors import UserError, file_errors
from equilib.kernels import AUTO, VARIABLE, KernelWarning, candidates_of, chosen, families
from equilib.machine.blas import CORETYPE, Blas, advised_kernel, numpy_blas, scipy_blas, version_numbers
from equilib.machine.cores import available_cores
from equilib.machine.devices import DeviceError, IdleGPUError, find_device
from equilib.machine.environment import kernels_in_use
from equilib.machine.process import keep_big_blocks
from equilib.plugin import HOOKS
from equilib.plugin.registry import PluginRow, Registry
from equilib.runs.request import DATA_VARIABLE

OK, ABSENT, SLOW, BROKEN = "ok", "absent", "slow", "broken"
"""States: all is well; an optional part is not there; it works, but costs time; it does not work."""

REINSTALL = "pip install --force-reinstall equilib"
FAST = 'pip install "equilib[fast]"'
# In the order in which OpenBLAS asks for them.
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Finding:
    """One line of the report: what it is about, its state, what was found, what to do, and plain values."""

    about: str
    state: str
    found: str
    next_step: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@click.command()
@as_json
@click.pass_context
def doctor(context: click.Context, *, as_json: bool) -> None:
    """Look over the installation: libraries, BLAS kernels, threads, memory, GPU, data, plugins."""
    context.obj.thorough = True
    findings = list(examine(context.obj.plugins))
    broken = sum(finding.state == BROKEN for finding in findings)
    if as_json:
        print_json({"status": BROKEN if broken else OK, "findings": [asdict(each) for each in findings]})
    else:
        rows = [(each.about, each.state, "; ".join(filter(None, (each.found, each.next_step)))) for each in findings]
        print_table(("ABOUT", "STATE", "FOUND, AND WHAT TO DO"), rows)
        click.echo(f"\n{f'{broken} broken' if broken else 'Nothing is broken'}.")
    if broken:
        context.exit(FAILED)


def examine(registry: Registry) -> Iterator[Finding]:
    """Look at everything, each thing once, in the order of the report."""
    yield Finding("Python", OK, f"{sys.version.split()[0]} at {sys.executable}")
    for module in ("numpy", "scipy", "autograd"):
        yield package(module)
    yield gpu()
    cores = available_cores()
    yield Finding("cores", OK, f"{cores} of {os.cpu_count()} may be used", facts={"cores": cores})
    for owner, find in (("NumPy", numpy_blas), ("SciPy", scipy_blas)):
        yield from _library(f"{owner}'s BLAS", find, cores)
    yield thread_variables(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KernelWarning)  # a line of the report each
        yield from broken_kernels()
        yield compiled()
    yield allocator()
    yield data_folder(os.environ.get(DATA_VARIABLE, ""))
    for row in registry.plugins():
        yield plugin(row, registry)


def package(module: str) -> Finding:
    """Import a package that equilib requires, and compare its version with what is required."""
    try:
        importlib.import_module(module)
    except Exception as error:  # an extension module that does not fit fails in many ways
        cause = f"cannot be imported: {type(error).__name__}: {error}"
        return Finding(module, BROKEN, " ".join(cause.split()), REINSTALL)
    here, least = _version(module), _required(module)
    if () < version_numbers(here) < version_numbers(least):
        return Finding(module, BROKEN, f"{here}, but at least {least} is required", f'pip install "{module}>={least}"')
    return Finding(module, OK, here)


def gpu() -> Finding:
    """Try what `--device cuda` would use."""
    try:
        device = find_device("cuda")
    except DeviceError as error:
        unusable = isinstance(error, IdleGPUError) or (
            isinstance(error.__cause__, ImportError) and importlib.util.find_spec("cupy") is not None
        )
        return Finding("CuPy", BROKEN if unusable else ABSENT, str(error))
    return Finding("CuPy", OK, device.description)


def _library(about: str, find: Callable[[], Blas], cores: int) -> Iterator[Finding]:
    try:
        blas = find()
    except ImportError:  # the package has its own line
        return
    yield kernels(about, blas, advised_kernel(blas), forced=os.environ.get(CORETYPE))
    if blas.threads is not None and blas.threads > cores:
        yield Finding(
            f"{about}: threads", SLOW, f"{blas.threads} threads on {cores} cores", f"set {THREADS[0]}={cores}"
        )


def kernels(about: str, blas: Blas, better: str | None, *, forced: str | None) -> Finding:
    """Judge the kernels of a BLAS library, given those that would be better and the user's OPENBLAS_CORETYPE."""
    if better is None:
        if blas.threads is None:
            return Finding(about, OK, f"{blas}; its kernels and threads are unknown", FAST, blas.describe())
        return Finding(about, OK, str(blas), facts=blas.describe())
    remedy = f"unset {CORETYPE}" if forced else f"set {CORETYPE}={better}"
    return Finding(about, SLOW, f"{blas}, although the CPU has {better}'s instructions", remedy, blas.describe())


def broken_kernels() -> Iterator[Finding]:
    """Report the families of kernels whose records cannot be had."""
    for family in families():
        if not family.unavailable and (cause := candidates_of(family)[1]):
            yield Finding(f"kernels {family.name}", BROKEN, f"{family.package}: {cause}", "repair or uninstall it")


def compiled() -> Finding:
    """Tell which families of kernels a run would use."""
    found = [f"{name} ({package})" for name, package in kernels_in_use().items()]
    if found:
        return Finding("kernels", OK, ", ".join(found))
    choice = chosen()
    if choice != AUTO:
        return Finding("kernels", ABSENT, f"{VARIABLE}={choice} leaves every operation to its formula", "unset it")
    return Finding("kernels", ABSENT, "every operation is left to its formula, which costs time", FAST)


def thread_variables(environment: Mapping[str, str]) -> Finding:
    """Tell which environment variables set the number of threads, and whether they contradict each other."""
    given = {name: environment[name] for name in THREADS if environment.get(name)}
    text = " and ".join(f"{name}={value}" for name, value in given.items()) or "no variable sets them"
    if len(set(given.values())) > 1:
        return Finding("threads", SLOW, f"{text} contradict each other", f"OpenBLAS follows {THREADS[0]}; unset one")
    return Finding("threads", OK, text)


def allocator() -> Finding:
    """Tell malloc what a run tells it."""
    if keep_big_blocks():
        return Finding("allocator", OK, "malloc keeps big blocks in every run")
    return Finding("allocator", OK, "malloc is left as it is: only glibc's can be told to keep big blocks")


def data_folder(name: str) -> Finding:
    """Look into the folder that EQUILIB_DATA_DIR names."""
    if not name:
        return Finding("data", ABSENT, f"{DATA_VARIABLE} is not set: without --data-dir data is cached or downloaded")
    try:
        with file_errors(f"{DATA_VARIABLE}={name} cannot be listed"):
            count = len(os.listdir(os.path.expanduser(name)))
    except UserError as error:
        reason = str(error)
        return Finding("data", BROKEN, reason, "correct or unset it")
    return Finding("data", OK, f"{DATA_VARIABLE}={name} holds {count} {'entry' if count == 1 else 'entries'}")


def plugin(row: PluginRow, registry: Registry) -> Finding:
    """Report a plugin with its cause where it is broken, and with what of it cannot be used here."""
    about, package = f"plugin {row.owner.plugin}", f"{row.owner.distribution} {row.owner.version}".strip()
    if row.status == "damaged":
        return Finding(f"package {package}", BROKEN, row.cause, "reinstall or remove it")
    if row.status == "off":
        return Finding(about, ABSENT, "; ".join(filter(None, (package, row.cause))))
    if row.status != "ok":
        remedy = f"repair or uninstall {row.owner.distribution or row.owner.plugin}" if row.status == "broken" else ""
        return Finding(about, BROKEN, row.cause, remedy)
    entries = [each.entry for kind in HOOKS.values() for each in registry.provided(kind) if each.owner == row.owner]
    away = [f"{entry.name} is not here: {entry.unavailable}" for entry in entries if entry.unavailable]
    return Finding(about, ABSENT if away else OK, "; ".join(filter(None, (package, *away))))


def _version(module: str) -> str:
    try:
        return version(module) or "of an unknown version"
    except Exception:  # its METADATA is damaged, which has a line of its own
        return "of an unknown version"


def _required(module: str) -> str:
    try:
        texts = requires("equilib") or []
    except Exception:  # imported from a checkout that is not installed, or METADATA is damaged
        texts = []
    return next((found[1] for text in texts if (found := re.match(rf"{module}>=([\d.]+)$", text))), "0")
