"""The plan of a training: epochs, batches, depths."""

from __future__ import annotations

from dataclasses import dataclass

from equilib.options import Checked, option


@dataclass(frozen=True, kw_only=True)
class Plan(Checked):
    """How long to train."""

    pretrain_epochs: int = option(0, help="epochs at a fixed depth before the equilibrium is solved for", minimum=0)
    # The unrolled model of depth 0 would be the equilibrium.
    pretrain_depth: int = option(5, help="that depth", minimum=1)
    epochs: int = option(3, help="epochs through the equilibrium", minimum=0)
    batch_size: int = option(32, help="samples in a batch of training", minimum=1)
    test_batch_size: int = option(100, help="samples in a batch of a test", minimum=1)
    allow_unused: bool = option(False, help="whether parameters without influence are left as they are, not an error")

    def steps(self, samples: int) -> int:
        """Return the number of updates for a training set of that size."""
        return (self.pretrain_epochs + self.epochs) * len(batches(samples, self.batch_size))


def batches(samples: int, size: int) -> list[slice]:
    """Return the batches of an epoch as places in its order; the last one may be smaller."""
    return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]
