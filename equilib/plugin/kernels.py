"""Families of kernels that plugins provide, as `equilib.kernels` is offered them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from equilib.errors import UserError, require_harmless
from equilib.kernels import BrokenFamilyError, Family, Kernel
from equilib.options import build, parse_spec
from equilib.options.schema import check_fields
from equilib.plugin.entries import KernelEntry
from equilib.plugin.faults import faults_as
from equilib.plugin.registry import Provided, Registry
from equilib.plugin.streams import printed_aside
from equilib.plugin.yielded import MOST


def installed_families() -> tuple[Family, ...]:
    """Return the families of the installed plugins; raises what `Registry.discover` does."""
    return kernel_families(Registry.discover())


def kernel_families(registry: Registry) -> tuple[Family, ...]:
    """Return the families of a registry's plugins; where several have one name, under NAME@PACKAGE."""
    contested = (_family(registry, each, contested=True) for each in registry.contested(KernelEntry))
    return (*(_family(registry, each) for each in registry.provided(KernelEntry)), *contested)


def _family(registry: Registry, provided: Provided[KernelEntry], *, contested: bool = False) -> Family:
    entry, owner = provided.entry, provided.owner
    full = f"{entry.name}@{owner.called}"

    def make(spec: str) -> Iterable[Kernel]:
        registry.find(KernelEntry, full)  # whose package the record of a run names
        broken = faults_as(lambda fault: BrokenFamilyError(f"it raised {fault}"), UserError, BrokenFamilyError)
        with broken, printed_aside():
            values = parse_spec(spec)[1]
            return _kernels(build(entry.blueprint(), values, owner=f"kernels {entry.name!r}", parts=registry))

    package = f"{owner.distribution} {owner.version}".strip() or owner.plugin
    return Family(
        name=full if contested else entry.name,
        package=package,
        make=make,
        unavailable=entry.unavailable,
        aliases=(full, f"{entry.name}@{owner.plugin}"),
        contested=contested,
    )


def _kernels(family: Any) -> list[Kernel]:
    found = list(islice(family.kernels(), MOST + 1))
    if len(found) > MOST:
        raise BrokenFamilyError(f"it yields more than {MOST:,} kernels")
    for each in found:
        if not isinstance(each, Kernel):
            raise BrokenFamilyError(f"it yields {type(each).__name__} instead of equilib.kernels.Kernel")
        try:
            check_kernel(each)
        except (TypeError, ValueError) as error:
            raise BrokenFamilyError(f"the record of one of its kernels is wrong: {error}") from error
    return found


def check_kernel(kernel: Kernel) -> None:
    """Require a record as it is annotated; raises TypeError, and ValueError for texts that a terminal would obey."""
    check_fields(kernel)
    for name in ("operation", "name", "about"):
        require_harmless(getattr(kernel, name), f"the {name} of a kernel")
