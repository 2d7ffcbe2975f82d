"""The parts of a trainer, as they are given: names, objects and numbers, and the sentences that refuse another."""

from __future__ import annotations

from typing import Any

from equilib.machine.devices import Device
from equilib.machine.ranks.group import Ranks
from equilib.options.kinds import check_kind, check_type, is_number
from equilib.options.named import resolved
from equilib.training.data import Dataset
from equilib.training.optimizers import Optimizer
from equilib.training.plan import Plan
from equilib.training.schedules import schedule_of


def optimizer_of(given: str | Optimizer) -> Optimizer:
    """Return an optimizer that is given by its name or as an object; raises as `resolve_parts` does."""
    found: Optimizer = resolved(given, "optimizer", "optimizer")
    return found


def resolve_parts(trainer: Any) -> None:
    """Put objects in the places of a trainer's names and numbers, and require the kind of every part.

    Raises
    ------
    TypeError
        If a part is something else, such as a class in place of an object.
    ValueError
        If a number is out of range.
    UserError
        If nothing has the name of the optimizer, or an option of it is unknown.
    """
    trainer.optimizer = optimizer_of(trainer.optimizer)
    trainer.schedule = schedule_of(trainer.schedule)
    for name, kind in (("model", "model"), ("objective", "objective"), ("reporter", "reporter")):
        check_kind(getattr(trainer, name), name, kind)
    if trainer.transform is not None:
        check_kind(trainer.transform, "transform", "function")
    check_kind(trainer.rng, "rng", "generator of NumPy")
    check_type(trainer.data, "data", Dataset, "; make one, as Dataset(train_inputs=..., ...)")
    check_type(trainer.plan, "plan", Plan, "; make one, as Plan(epochs=10)")
    check_type(trainer.device, "device", Device, "; make one, as equilib.machine.devices.find_device('torch')")
    check_type(trainer.ranks, "ranks", Ranks)
    if not is_number(trainer.shares, int) or trainer.shares < 0:
        raise ValueError(f"shares must be a whole number, 0 or more, got {trainer.shares!r}")
