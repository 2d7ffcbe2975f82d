"""Malformed command lines: every command, every option of it, and every option of every part by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from equilib.cli.program import equilib
from equilib.options import Option, unfold
from equilib.plugin import (
    DatasetEntry,
    Entry,
    ExperimentEntry,
    IntegratorEntry,
    OptimizerEntry,
    SensitivityEntry,
    SolverEntry,
)
from equilib.plugin.registry import Registry
from equilib.runs.request import FLAGS

WRONG: dict[type[Any], tuple[str, ...]] = {
    int: ("x", "1.5", "", "nan", "inf", "0x10", "1e3", "--", "1,2", "None!", "\x00", "\udcff"),
    float: ("x", "nan", "", "1.5.5", "one", "1,5", "\x00", "\udcff"),
    bool: ("maybe", "", "2", "tru", "\x00"),
}
"""Texts that are no value of a type."""

NAMES = (
    "",
    ":",
    "nothing",
    "picard:",
    "picard:=1",
    "a" * 5000,
    "\x1b[2J",
    "\x00",
    "\udcff",
    "picard:damping",
    "%s",
    "{x}",
    "none,",
)
"""Texts that name no part."""

UNKNOWN = ("nothing=1", "x", "=", "a.b=c", "\x00=1")
"""Texts that are no option of anything, or no assignment."""

ODD_PLACES = ("", "\x00", "\ud800", "a" * 300, "/proc/none/x", "/dev/null/x", "~nosuch/x", "-", "--", "/")
"""Places where no run lies and none can be made."""


@cache
def registry() -> Registry:
    """Return what is installed."""
    return Registry.discover()


@cache
def _options_of(kind: type[Entry], name: str) -> tuple[Option, ...]:
    entry = registry().get(kind, name)
    return () if entry.unavailable else tuple(unfold(entry.blueprint(), registry()))


def command_line(random: Random, root: Path) -> tuple[tuple[str, ...], bool]:
    """Return arguments of `equilib`, and whether they are wrong beyond doubt."""
    return random.choice((_flag, _flag, _own_option, _part, _part, _part, _place, _words, _show))(random, root)


def _run(root: Path, experiment: str, *more: str) -> tuple[str, ...]:
    return ("run", experiment, "--epochs", "0", "--quiet", "--out", str(root / "options-run"), "--overwrite", *more)


def _flag(random: Random, root: Path) -> tuple[tuple[str, ...], bool]:
    """Return a run with a flag whose value is none of its type, or one of its choices."""
    flag = random.choice([each for each in FLAGS if each.type in WRONG or each.choices])
    wrong = ("nochoice", "", "\x00") if flag.choices else WRONG[flag.type]
    word = random.choice(flag.spelled)
    given = f"{word}={random.choice(wrong)}" if word.startswith("--") else word
    experiment = random.choice([each.entry.name for each in registry().provided(ExperimentEntry)])
    return _run(root, experiment, given), True


def _own_option(random: Random, root: Path) -> tuple[tuple[str, ...], bool]:
    """Return a run with an option of its experiment, as a flag, whose value is none."""
    experiment = random.choice([each.entry.name for each in registry().provided(ExperimentEntry)])
    options = _options_of(ExperimentEntry, experiment)
    if not options:
        return _flag(random, root)
    option = random.choice(options)
    wrong = "nochoice" if option.choices else random.choice(WRONG.get(option.type, ("nothing at all",)))
    return _run(root, experiment, f"--{option.name.replace('_', '-')}={wrong}"), True


def _part(random: Random, root: Path) -> tuple[tuple[str, ...], bool]:
    """Return a run with a part that has a wrong option, or with a name of none."""
    kinds: dict[str, tuple[str, type[Entry]]] = {
        "--solver": ("linear", SolverEntry),
        "--adjoint": ("linear", SensitivityEntry),
        "--fallback": ("linear", SolverEntry),
        "--optimizer": ("linear", OptimizerEntry),
        "--solver=": ("mnist-neural-ode", IntegratorEntry),
        "--data": ("mnist", DatasetEntry),
    }
    flag = random.choice(list(kinds))
    experiment, kind = kinds[flag]
    name = random.choice([each.entry.name for each in registry().provided(kind)])
    word, options = flag.removesuffix("="), _options_of(kind, name)
    if random.random() < 0.15:
        return _run(root, experiment, f"{word}={random.choice(NAMES)}"), True
    if not options or random.random() < 0.2:
        return _run(root, experiment, f"{word}={name}:{random.choice(UNKNOWN)}"), True
    option = random.choice(options)
    wrong = "nochoice" if option.choices else random.choice(WRONG.get(option.type, ("nothing at all",)))
    if wrong == "" and option.type is str:
        wrong = "nothing at all"
    return _run(root, experiment, f"{word}={name}:{option.name}={wrong}"), True


def _place(random: Random, root: Path) -> tuple[tuple[str, ...], bool]:
    """Return a command about a place that is odd."""
    place = random.choice(ODD_PLACES)
    given = random.choice(
        (
            ("evaluate", place),
            ("resume", place),
            ("predict", place, "x.npy"),
            ("predict", str(root / "line"), place),
            ("report", "--limit", "0", place),
            ("check-gradient", "linear", f"--from={place}"),
            ("evaluate", str(root / "line"), f"--data-dir={place}"),
            ("resume", str(root / "line"), f"--from={place}", "--epochs=3"),
            ("run", "mnist", f"--data-dir={place}"),
            ("compare", "mnist", "--solvers=picard", f"--data-dir={place}"),
        )
    )
    return given, place not in ("/", "--", "-", "/dev/null/x", "")


def _words(random: Random, root: Path) -> tuple[tuple[str, ...], bool]:
    """Return commands with words that they do not know, or without those that they need."""
    command = random.choice([*equilib.commands, "nothing"])
    words = ("--nothing", "-z", "--json=1", "--quiet=x", "nothing", *NAMES)
    more = [random.choice(words) for _ in range(random.randint(1, 3))]
    return (command, *more), any(each.startswith(("--nothing", "-z", "--quiet", "--json=")) for each in more)


def _show(random: Random, root: Path) -> tuple[tuple[str, ...], bool]:
    """Return lists and checks of names that nothing has."""
    name = random.choice(NAMES)
    kinds = ("solvers", "integrators", "linear-solvers", "adjoints", "optimizers", "datasets", "experiments", "kernels")
    given: Sequence[tuple[str, ...]] = (
        *((kind, "show", "--", name) for kind in kinds),
        ("check", "--", name),
        ("check", "picard", "--kind", name or "x"),
        ("compare", "linear", f"--solvers={name}", f"--out={root / 'compare'}", "--overwrite"),
        ("compare", "linear", "--solvers=picard", f"--sort={name}"),
        ("run", "linear", f"--kernels={name}"),
        ("run", "--", name),
    )
    argv = random.choice(given)
    return argv, name not in ("none,",) or argv[0] in kinds
