"""Deep equilibrium models: cells, initial guesses, the equilibrium layer."""

from equilib.models.cell import Cell, InjectedCell
from equilib.models.deq import DeepEquilibrium
from equilib.models.deq_chain import DEQChain
from equilib.models.equilibrium import Equilibrium
from equilib.models.initial_guess import InitialGuess, LayerGuess, OneStepGuess, ZeroGuess
from equilib.models.neural_ode import Autonomous, Evolution, NeuralODE, evolve

__all__ = [
    "Autonomous",
    "Cell",
    "DEQChain",
    "DeepEquilibrium",
    "Equilibrium",
    "Evolution",
    "InitialGuess",
    "InjectedCell",
    "LayerGuess",
    "NeuralODE",
    "OneStepGuess",
    "ZeroGuess",
    "evolve",
]
