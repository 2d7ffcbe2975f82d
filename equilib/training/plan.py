"""The plan of a training: epochs, batches, depths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from equilib.options import Checked, option
from equilib.options.kinds import described
from equilib.training.schedules import WarmUp, schedule_of


@dataclass(frozen=True, kw_only=True)
class Plan(Checked):
    """How long to train."""

    pretrain_epochs: int = option(0, help="train so many epochs at a fixed depth first", minimum=0)
    # The unrolled model of depth 0 would be the equilibrium.
    pretrain_depth: int = option(5, help="pretrain at this depth", minimum=1)
    epochs: int = option(3, help="train so many epochs through the equilibrium", minimum=0)
    batch_size: int = option(32, help="put so many samples in a training batch", minimum=1)
    test_batch_size: int = option(100, help="put so many samples in a test batch", minimum=1)
    clip_gradient: float | None = option(None, help="scale gradients down to this norm", exclusive_minimum=0.0)
    warm_up: int = option(0, help="raise the learning rate over so many updates before the schedule", minimum=0)
    patience: int | None = option(None, help="stop after so many epochs without a better test score", minimum=1)
    allow_unused: bool = option(False, help="leave parameters without influence as they are, without an error")

    def steps(self, samples: int) -> int:
        """Return the number of updates for a training set of that size."""
        return (self.pretrain_epochs + self.epochs) * len(batches(samples, self.batch_size))

    def rates(self, schedule: float | Callable[[int], Callable[[int], float]], samples: int) -> Callable[[int], float]:
        """Return the learning rate of each update, given it, or what makes a schedule of so many updates.

        Raises TypeError if it is something else, such as a schedule itself.
        """
        steps = max(self.steps(samples) - self.warm_up, 0)
        made = schedule(steps) if callable(schedule) else schedule_of(schedule)
        if not callable(made):
            raise TypeError(
                "the schedule of a recipe must be a rate, or make a schedule of the number of updates, as "
                f"lambda steps: Cosine(1e-3, steps), got {described(schedule)}"
            )
        return WarmUp(made, self.warm_up) if self.warm_up else made

    def gives_up(self, epochs_done: int, best: int) -> bool:
        """Tell whether it is too long since the best epoch of training, pretraining not counted."""
        return self.patience is not None and epochs_done - self.pretrain_epochs - best >= self.patience


def batches(samples: int, size: int) -> list[slice]:
    """Return the batches of an epoch as places in its order; the last one may be smaller."""
    return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]
