"""The plan of a training: epochs, batches, depths."""

from __future__ import annotations

from dataclasses import dataclass

from equilib.options import Checked, option


@dataclass(frozen=True, kw_only=True)
class Plan(Checked):
    """How long to train."""

    pretrain_epochs: int = option(0, help="train so many epochs at a fixed depth first", minimum=0)
    # The unrolled model of depth 0 would be the equilibrium.
    pretrain_depth: int = option(5, help="pretrain at this depth", minimum=1)
    epochs: int = option(3, help="train so many epochs through the equilibrium", minimum=0)
    batch_size: int = option(32, help="put so many samples in a training batch", minimum=1)
    test_batch_size: int = option(100, help="put so many samples in a test batch", minimum=1)
    allow_unused: bool = option(False, help="leave parameters without influence as they are, without an error")

    def steps(self, samples: int) -> int:
        """Return the number of updates for a training set of that size."""
        return (self.pretrain_epochs + self.epochs) * len(batches(samples, self.batch_size))


def batches(samples: int, size: int) -> list[slice]:
    """Return the batches of an epoch as places in its order; the last one may be smaller."""
    return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]
