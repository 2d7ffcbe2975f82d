"""Agreement of the ranks of a run: what they were asked for, and what they have."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from equilib.errors import UserError, brief
from equilib.machine.environment import kernels_in_use
from equilib.machine.ranks.group import Ranks
from equilib.runs.metrics import flat

_LONG, _BEFORE = 100, 20  # characters, and of those how many are before a difference


def check_agreement(ranks: Ranks, facts: Mapping[str, Any]) -> None:
    """Refuse ranks that differ in nested plain values.

    Raises UserError with the first difference; the same on all ranks.
    """
    first, *others = [flat(each) for each in ranks.gather(facts)]
    for rank, other in enumerate(others, start=1):
        for name in {**first, **other}:
            own, theirs = first.get(name), other.get(name)
            if own != theirs:
                own, theirs = _apart(own, theirs)
                raise UserError(
                    f"rank {rank}, on {ranks.places[rank].host}, has {name} {brief(theirs)}, and rank 0, on "
                    f"{ranks.places[0].host}, {brief(own)}: all ranks of a run need the same"
                )


def _apart(one: Any, other: Any) -> tuple[Any, Any]:
    """Return two values as to be shown: of long texts what is from where they differ."""
    if not (isinstance(one, str) and isinstance(other, str)) or max(len(one), len(other)) < _LONG:
        return one, other
    pairs = enumerate(zip_longest(one, other))
    start = max(0, next(place for place, (mine, yours) in pairs if mine != yours) - _BEFORE)
    one, other = (("... " if start else "") + each[start : start + _LONG] for each in (one, other))
    return one, other


def check_work(ranks: Ranks, data_digest: str, facts: Mapping[str, Any]) -> None:
    """Refuse ranks that have other data, kernels or `facts`, as `check_agreement` does."""
    check_agreement(ranks, {"data": data_digest, "kernels": ", ".join(kernels_in_use()) or "none", **facts})


def check_shares(shares: int | None, ranks: Ranks) -> None:
    """Refuse more ranks than there are shares of a batch.

    Raises UserError if some rank would have none.
    """
    if shares is not None and ranks.size > shares:
        raise UserError(f"{ranks.size} ranks have {shares} shares of a batch (--shares): start {shares} ranks at most")


def introduce_ranks(ranks: Ranks) -> list[str]:
    """Return a line about the ranks, for people; none about one process alone."""
    facts = ranks.describe()
    if facts is None:
        return []
    hosts = f"{len(facts['hosts'])} hosts" if len(facts["hosts"]) > 1 else facts["hosts"][0]
    return [f"Ranks: {facts['size']} on {hosts}, {facts['communicator']}"]
