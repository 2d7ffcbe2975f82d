"""Agreement of the ranks of a run: what they were asked for, and what they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equilib.errors import UserError, brief
from equilib.machine.ranks.group import Ranks
from equilib.runs.metrics import flat


def check_agreement(ranks: Ranks, facts: Mapping[str, Any]) -> None:
    """Refuse ranks that differ in nested plain values.

    Raises UserError with the first difference; the same on all ranks.
    """
    first, *others = [flat(each) for each in ranks.gather(facts)]
    for rank, other in enumerate(others, start=1):
        for name in {**first, **other}:
            own, theirs = first.get(name), other.get(name)
            if own != theirs:
                raise UserError(
                    f"rank {rank}, on {ranks.places[rank].host}, has {name} {brief(theirs)}, and rank 0, on "
                    f"{ranks.places[0].host}, {brief(own)}: all ranks of a run need the same"
                )


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
