"""Shares of a batch: samples that are computed together, their random numbers and their weight."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array
from equilib.errors import UserError
from equilib.machine.ranks.division import Division
from equilib.training.sample_draws import SampleDraws


@dataclass(frozen=True)
class Share:
    """The samples `rows` of a batch of `count`, and what draws their random numbers."""

    rows: np.ndarray
    count: int
    rng: np.random.Generator

    def weigh(self, loss: Array) -> Array:
        """Return the part of these samples, whose mean loss is given, in the mean of the batch: it is their sum."""
        return loss if self.rows.size == self.count else ops.multiply(loss, self.rows.size / self.count)

    def mean(self, part: float) -> float:
        """Return the mean loss of these samples, given their part in that of the batch."""
        return part if self.rows.size == self.count else part * self.count / self.rows.size

    def drawn(self) -> bytes | None:
        """Return where the random numbers are after its pass; None where nobody needs to know."""
        return pickle.dumps(self.rng.bit_generator.state) if isinstance(self.rng, SampleDraws) else None


def own_shares(rows: np.ndarray, division: Division, rank: int, rng: np.random.Generator) -> Iterator[Share]:
    """Yield a rank's shares of the batch `rows`, one after the other: `rng` is for each where it was for the first."""
    if division.shares == division.ranks == 1:
        yield Share(rows, rows.size, rng)
        return
    start = rng.bit_generator.state
    for number in division.own(rank):
        rng.bit_generator.state = start
        place = division.rows(number)
        yield Share(rows[place], rows.size, SampleDraws(rng, rows.size, place))


def settle(rng: np.random.Generator, drawn: Sequence[bytes | None]) -> None:
    """Go on where the random numbers of all shares are; a rank without any has drawn none.

    Raises UserError if they are not at the same place.
    """
    known = {each for each in drawn if each is not None}
    if len(known) > 1:
        raise UserError(
            "the shares of a batch have drawn different random numbers: what a layer or a transform draws must be "
            "arrays whose axis 0 counts the samples, or of the same shape for every batch; else run in one process "
            "without --shares"
        )
    if known:
        rng.bit_generator.state = pickle.loads(known.pop())
