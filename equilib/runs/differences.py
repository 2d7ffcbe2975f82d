"""Differences between what a run recorded and what is here: versions, machine, method and options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from equilib.machine.environment import describe_environment
from equilib.machine.ranks.group import current_ranks
from equilib.runs.metrics import flat

_NAMED = ("options", "method", "optimizer")
"""What of a run's facts decides its numbers and is made again from its record."""

Pair = list[Any]
"""What it was then, and what it is now."""


def of_environment(then: Mapping[str, Any], packages: Iterable[str] = ()) -> dict[str, Pair]:
    """Return what of the environment is another than a record, `then`, says; `packages` are those of plugins in use."""
    versions = then.get("versions") or {}
    now = describe_environment([*versions, *packages])
    pairs: dict[str, Pair] = {name: [then.get(name), now[name]] for name in ("python", "platform")}
    pairs["kernels"] = [then.get("kernels") or {}, now["kernels"]]
    pairs["ranks"] = [(facts or {}).get("size", 1) for facts in (then.get("ranks"), current_ranks().describe())]
    if then.get("blas"):
        pairs |= {f"BLAS {name}": [then["blas"].get(name), now["blas"][name]] for name in ("kernel", "threads")}
    pairs |= {name: [versions.get(name), now["versions"].get(name)] for name in sorted({*versions, *now["versions"]})}
    return _unequal(pairs)


def of_training(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Pair]:
    """Return which options, methods and optimizers that a record names are others in a training made from it."""
    recorded, here = ({name: facts.get(name) or {} for name in _NAMED} for facts in (then, now))
    left, right = flat(recorded), flat(here)
    return _unequal({name: [value, right[name]] for name, value in left.items() if name in right})


def notes(
    environment: Mapping[str, Pair],
    training: Mapping[str, Pair],
    *,
    shares: int | None = None,
    but: Iterable[str] = (),
) -> Iterator[str]:
    """Yield a line for each difference, but for those that were asked for; a run in `shares` does not hang on ranks."""
    for name, (then, now) in environment.items():
        same = name == "ranks" and shares is not None
        effect = f"the bits are those of --shares {shares}" if same else "the last bits of the results may differ"
        yield f"Note: {name} was {then}, is {now}: {effect}"
    for name, (then, now) in training.items():
        if name not in but:
            yield f"Note: {name.replace('.', ' ')} was {then}, is {now}: it is not the method of the run"


def _unequal(pairs: Mapping[str, Pair]) -> dict[str, Pair]:
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
