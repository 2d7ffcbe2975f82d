"""Stripes told apart by an equilibrium, as an experiment with images for equilib."""

from dataclasses import dataclass

from equilib import ops
from equilib.experiments import ImageClassification, ImageRecipe, equilibrium
from equilib.layers import Chain, Conv, Dense, GlobalMeanPool, GroupNorm, TruncatedNormal
from equilib.models import DEQChain, InjectedCell, ZeroGuess
from equilib.training.plan import Plan
from equilib.training.schedules import Cosine


def network(method, images):
    """Return a small convolutional network for images of any format."""
    recur = Conv(16, 16, padding="same", initial_weight=TruncatedNormal(0.01))
    return DEQChain(
        before=Chain(Conv(images.channels, 16, stride=2), ops.relu, GroupNorm(16, 16)),
        deq=equilibrium(InjectedCell(Chain(), recur, Chain(ops.tanh)), ZeroGuess(), method),
        after=Chain(GroupNorm(16, 16), ops.relu, GlobalMeanPool(), Dense(16, len(images.classes))),
    )


@dataclass(frozen=True)
class StripesExperiment(ImageClassification):
    """Stripes, or the images of any other data set, told apart by an equilibrium."""

    def image_recipe(self):
        """Return how the network is made, solved and trained."""
        return ImageRecipe(
            data="stripes",
            network=network,
            schedule=lambda steps: Cosine(0.003, steps),
            options={"rtol": 1e-3, "max_steps": 20},
            plan=Plan(epochs=4),
            limit=None,
        )
