"""The plan of a training: epochs, batch sizes, depths."""

from __future__ import annotations

from dataclasses import dataclass

from equilib.training.batches import batch_count


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long to train.

    Attributes
    ----------
    pretrain_epochs, pretrain_depth : int
        Epochs at a fixed depth before the equilibrium is solved for.
    epochs : int
    batch_size, test_batch_size : int

    Raises
    ------
    ValueError
        If a number is negative, or a size or the depth of a pretraining is not positive.
    """

    pretrain_epochs: int = 0
    pretrain_depth: int = 5
    epochs: int = 3
    batch_size: int = 32
    test_batch_size: int = 100

    def __post_init__(self) -> None:
        for name in ("pretrain_epochs", "epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        # The unrolled model of depth 0 would be the equilibrium.
        for name in ("pretrain_depth", "batch_size", "test_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def steps(self, samples: int) -> int:
        """Return the number of updates for a training set of that size."""
        return (self.pretrain_epochs + self.epochs) * batch_count(samples, self.batch_size)
