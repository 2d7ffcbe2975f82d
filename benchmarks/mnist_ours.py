"""Our contestant in `benchmarks.mnist`."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from benchmarks.our_training import Model, Training
from benchmarks.peers.exchange import hand_back, receive
from benchmarks.tutorial import CHECKED, named, network, params_like
from equilib.adjoints.equilibrium import Equilibrium
from equilib.machine.process import prepare_process
from equilib.plugin.choosing import choose
from equilib.plugin.registry import Registry
from equilib.training.objectives import Classification
from equilib.training.warm_starts import WarmStarts


def main() -> None:
    """Train, and return the record of the epochs, the parameters and some equilibria."""
    folder, arrays, settings = receive()
    prepare_process()
    defaults = {"rtol": settings["tolerance"], "atol": 0.0, "max_steps": settings["max_steps"]}
    method = choose(Registry.discover(), settings["solver"], adjoint=settings["adjoint"], defaults=defaults)
    model = network(method.solver, method.sensitivity, method.options)
    unrolled = model.unrolled(settings["depth"])

    def model_of(epoch: int) -> tuple[str, Model]:
        return ("pretrain", unrolled) if epoch < settings["pretrain_epochs"] else ("train", model)

    run = Training(
        params_like(model.init(np.random.default_rng(0)), arrays),
        arrays,
        settings["rate"],
        model_of,
        Classification().loss,
        _work,
        warm=WarmStarts(settings["warm_start"], len(arrays["train_images"])),
    )
    epochs = run.epochs()
    _, equilibrium = model(run.params, arrays["test_images"][:CHECKED])
    versions = {name: version(name) for name in ("equilib", "numpy")}
    report = {"epochs": epochs, "first_batch_seconds": run.first_batch, "versions": versions}
    hand_back(folder, named(run.params) | {"z": equilibrium.z}, report)


def _work(done: Equilibrium) -> tuple[float, float, float]:
    # An evaluation of w ↦ Jᵀw + g and a product of its linearization are one vjp each.
    return done.nfe, done.njvp, done.adjoint_nvjp


if __name__ == "__main__":
    main()
