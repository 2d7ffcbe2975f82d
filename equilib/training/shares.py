"""Share of a batch: the samples of it that one rank computes, their random numbers and their weight."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array
from equilib.errors import UserError
from equilib.machine.ranks.group import Ranks
from equilib.training.sample_draws import SampleDraws


@dataclass(frozen=True)
class Share:
    """The samples `rows` of a batch of `count`, and what draws their random numbers."""

    rows: np.ndarray
    count: int
    rng: np.random.Generator

    @classmethod
    def of(cls, rows: np.ndarray, ranks: Ranks, rng: np.random.Generator) -> Share:
        """Return this rank's share of the batch `rows`; all of it where it is the only one."""
        if ranks.size == 1:
            return cls(rows, rows.size, rng)
        own = ranks.share(rows.size)
        return cls(rows[own], rows.size, SampleDraws(rng, rows.size, own))

    def weigh(self, loss: Array) -> Array:
        """Return the part of these samples, whose mean loss is given, in the mean of the batch: it is their sum."""
        return loss if self.rows.size == self.count else ops.multiply(loss, self.rows.size / self.count)

    def mean(self, part: float) -> float:
        """Return the mean loss of these samples, given their part in that of the batch."""
        return part if self.rows.size == self.count else part * self.count / self.rows.size

    def drawn(self) -> bytes | None:
        """Return where the random numbers are after the passes; None where nobody needs to know."""
        if not self.rows.size or not isinstance(self.rng, SampleDraws):
            return None
        return pickle.dumps(self.rng.bit_generator.state)

    def settle(self, drawn: Sequence[bytes | None]) -> None:
        """Go on where the random numbers of all ranks are; one without samples has drawn none.

        Raises UserError if they are not at the same place.
        """
        known = {each for each in drawn if each is not None}
        if len(known) > 1:
            raise UserError(
                "the ranks have drawn different random numbers: what a layer or a transform draws must be arrays whose "
                "axis 0 counts the samples, or of the same shape for every batch; else run in one process"
            )
        if known and not self.rows.size:
            self.rng.bit_generator.state = pickle.loads(known.pop())
