"""Deep equilibrium models: cells, initial guesses, the equilibrium layer."""

from equilib.adjoints.equilibrium import Equilibrium
from equilib.models.cell import Cell, FromZero, InjectedCell, Joins, ResidualCell
from equilib.models.chains import DEQChain, Explicit, ODEChain
from equilib.models.deq import DeepEquilibrium
from equilib.models.initial_guess import InitialGuess, LayerGuess, OneStepGuess, ZeroGuess
from equilib.models.multiscale import MultiScaleCell
from equilib.models.named import MultiScaleDEQ, MultiScaleNeuralODE, MultiScaleSkipDEQ, SkipDEQ, SkipRegDEQ
from equilib.models.neural_ode import Autonomous, CellODE, NeuralODE
from equilib.models.regularizers import Regularization, guess_distance, jacobian_size, residual_size

__all__ = [
    "Autonomous",
    "Cell",
    "CellODE",
    "DEQChain",
    "DeepEquilibrium",
    "Equilibrium",
    "Explicit",
    "FromZero",
    "InitialGuess",
    "InjectedCell",
    "Joins",
    "LayerGuess",
    "MultiScaleCell",
    "MultiScaleDEQ",
    "MultiScaleNeuralODE",
    "MultiScaleSkipDEQ",
    "NeuralODE",
    "ODEChain",
    "OneStepGuess",
    "Regularization",
    "ResidualCell",
    "SkipDEQ",
    "SkipRegDEQ",
    "ZeroGuess",
    "guess_distance",
    "jacobian_size",
    "residual_size",
]
