"""Networks of dense layers: a neural ODE, a steady state, and two equilibria."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from equilib import ops
from equilib.arrays import Array
from equilib.experiments import ImageRecipe
from equilib.layers import Chain, Dense, Flatten, TruncatedNormal
from equilib.models import Autonomous, InjectedCell, NeuralODE, ODEChain, Regularization
from equilib.plugin import ODE
from equilib.plugin.choice import Choice
from equilib.training.data import ImageFormat
from equilib.training.objectives import Classification
from equilib.training.plan import Plan
from equilib.training.schedules import Constant
from equilib_experiments.recipes.architecture import Architecture, SizedCell, dense, identity, one_cycle

SMALL = TruncatedNormal(0.01)
UNREGULARIZED = Classification(Regularization())


def _features(images: ImageFormat, sizes: tuple[int, ...], activation: Callable[[Array], Array]) -> Chain:
    return Chain(Flatten(), *dense((images.height * images.width * images.channels, *sizes), activation))


def neural_ode(method: Choice, images: ImageFormat) -> ODEChain:
    """Return the network of Lux's tutorial "MNIST Classification using Neural ODEs"."""
    return ODEChain(
        before=_features(images, (20,), ops.tanh),
        ode=NeuralODE(
            Autonomous(Chain(*dense((20, 10, 10, 20), ops.tanh))), method.solver, method.sensitivity, method.options
        ),
        after=Dense(20, len(images.classes)),
    )


NEURAL_ODE = ImageRecipe(
    data="mnist",
    network=neural_ode,
    schedule=lambda steps: Constant(1e-3),
    solves=ODE,
    solver="tsit5",
    options={"rtol": 1e-3, "atol": 1e-3},
    objective=UNREGULARIZED,
    plan=Plan(epochs=9, batch_size=128),
    limit=1500,
    train_share=0.9,
    title="neural ODE",
)

# z0 = f(0, x), and the state is added to the input: z' = deq(z + x) − z. The last layer has a tanh, so that no class
# can get a probability above e / (e + 9/e) = 0.45: the loss ends near 0.8.
STEADY_STATE = ImageRecipe(
    data="mnist",
    network=Architecture(
        before=lambda images: _features(images, (200, 20), ops.tanh),
        cell=lambda _: InjectedCell(Chain(identity), Chain(identity), Chain(*dense((20, 10, 10, 20), ops.tanh))),
        guess=lambda: Chain(*dense((20, 20), ops.tanh)),
        after=lambda images: Chain(*dense((20, 15, len(images.classes)), ops.tanh)),
    ).network("regdeq"),
    schedule=lambda steps: Constant(3e-4),
    solver="tsit5",
    options={"rtol": 1e-2, "atol": 1e-2, "max_steps": 100},
    objective=UNREGULARIZED,
    plan=Plan(epochs=10, batch_size=8),
    limit=None,
    title="steady state",
)

FULLY_CONNECTED = ImageRecipe(
    data="mnist",
    network=Architecture(
        before=lambda images: _features(images, (128,), ops.relu),
        cell=lambda _: InjectedCell(
            _without_bias(128, 128, ops.relu), _without_bias(128, 128, ops.relu), Chain(identity)
        ),
        guess=lambda: Chain(*dense((128, 128), ops.relu)),
        after=lambda images: Dense(128, len(images.classes)),
    ).network("skipdeq"),
    schedule=one_cycle(3e-3),
    options={"rtol": 1e-3, "atol": 1e-6, "max_steps": 20},
    plan=Plan(pretrain_epochs=2, epochs=8),
)


def _without_bias(inputs: int, outputs: int, activation: Callable[[Array], Array]) -> Chain:
    return Chain(Dense(inputs, outputs, bias=False, initial_weight=SMALL), activation)


# x has 512 features, z only 128; they meet in 64.
REDUCED_SOURCE = ImageRecipe(
    data="mnist",
    network=Architecture(
        before=lambda images: _features(images, (512,), ops.gelu),
        cell=lambda _: SizedCell(
            _without_bias(512, 64, ops.tanh),
            _without_bias(128, 64, ops.tanh),
            Chain(_without_bias(64, 64, ops.tanh), _without_bias(64, 128, identity)),
            size=128,
        ),
        guess=lambda: _without_bias(512, 128, ops.tanh),
        after=lambda images: Chain(*dense((128, 128), ops.gelu), Dense(128, len(images.classes))),
    ).network("skipdeq"),
    schedule=lambda steps: Constant(5e-4),
    options={"rtol": 1e-3, "atol": 1e-3, "max_steps": 10, "linear_solver.restart": 10},
    plan=Plan(pretrain_epochs=2),
)
REDUCED = replace(REDUCED_SOURCE, schedule=one_cycle(3e-3), plan=Plan(pretrain_epochs=2, epochs=8))
