"""Families of kernels that plugins provide, as `equilib.kernels` is offered them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from equilib.kernels import Family, Kernel
from equilib.options import build, parse_spec
from equilib.plugin.entries import KernelEntry
from equilib.plugin.registry import Provided, Registry


def installed_families() -> tuple[Family, ...]:
    """Return the families of the installed plugins; raises what `Registry.discover` does."""
    return kernel_families(Registry.discover())


def kernel_families(registry: Registry) -> tuple[Family, ...]:
    """Return the families of a registry's plugins."""
    return tuple(_family(registry, provided) for provided in registry.provided(KernelEntry))


def _family(registry: Registry, provided: Provided[KernelEntry]) -> Family:
    entry, owner = provided.entry, provided.owner

    def make(spec: str) -> Iterable[Kernel]:
        registry.find(KernelEntry, f"{entry.name}@{owner.called}")  # whose package the record of a run names
        made: Any = build(entry.blueprint(), parse_spec(spec)[1], owner=f"kernels {entry.name!r}", parts=registry)
        kernels: Iterable[Kernel] = made.kernels()
        return kernels

    package = f"{owner.distribution} {owner.version}".strip() or owner.plugin
    return Family(name=entry.name, package=package, make=make, unavailable=entry.unavailable)
