"""Division of a batch into shares, and of the shares among ranks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Division:
    """Division of `samples` into `shares`, which are computed one by one, and of these among `ranks`, in their order.

    There are no shares without samples, so that of a small batch there are fewer than was asked for, and of few shares
    some ranks have none. Otherwise the parts of a whole differ by one at most, and the first have one more.
    """

    samples: int
    shares: int
    ranks: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", min(self.shares, self.samples))

    def rows(self, share: int) -> slice:
        """Return which samples of the batch are in a share."""
        return slice(*_part(self.samples, self.shares, share))

    def rows_of(self, rank: int, start: int = 0) -> list[slice]:
        """Return which samples are in each share of a rank, where the first of the batch is number `start`."""
        shares = [self.rows(share) for share in self.own(rank)]
        return [slice(start + rows.start, start + rows.stop) for rows in shares]

    def own(self, rank: int) -> range:
        """Return the shares of a rank."""
        return range(*_part(self.shares, self.ranks, rank))


def _part(whole: int, parts: int, number: int) -> tuple[int, int]:
    each, more = divmod(whole, parts)
    start = number * each + min(number, more)
    return start, start + each + (number < more)
