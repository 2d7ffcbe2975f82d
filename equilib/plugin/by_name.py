"""Parts that the installed plugins provide, as `equilib.options.named` is offered them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from equilib.plugin import KINDS, SensitivityEntry
from equilib.plugin.choosing import adjoint_entry, build_named
from equilib.plugin.registry import Registry


@cache
def installed() -> Registry:
    """Return the plugins of this process, found once; raises what `Registry.discover` does."""
    return Registry.discover()


def make_part(kind: str, spec: str, options: Mapping[str, object], *, solves: str | None) -> Any:
    """Return the part that a name and options stand for; raises what `equilib.options.named.made` does."""
    return _made(kind, spec, options, solves) if options else _of_name(kind, spec, solves)


@lru_cache(maxsize=256)  # a call in a training loop names its parts every time, and no part keeps anything on itself
def _of_name(kind: str, spec: str, solves: str | None) -> Any:
    return _made(kind, spec, {}, solves)


def _made(kind: str, spec: str, options: Mapping[str, object], solves: str | None) -> Any:
    if KINDS[kind] is SensitivityEntry and solves is not None:
        adjoint_entry(installed(), spec, solves)
    return build_named(installed(), KINDS[kind], spec, options=options).part
