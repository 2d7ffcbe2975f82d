"""The experiment `characters`: a transformer whose depth is an equilibrium, on a text of the standard library.

S. Bai, J. Z. Kolter, V. Koltun, "Deep Equilibrium Models", NeurIPS 2019, arXiv:1909.01377, §4.2: one block of attention
and feed-forward layers with the input injected, z = block(z + inject(x)), here with layer norms behind both.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from pydoc_data.topics import topics

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree, to_host
from equilib.experiments import Recipe, equilibrium
from equilib.layers import Chain, Dense, Embedding, Layer, LayerNorm, MultiHeadAttention, Parallel, TruncatedNormal
from equilib.models import DEQChain, InjectedCell, ZeroGuess
from equilib.options import Checked, option
from equilib.plugin.choice import Choice
from equilib.runs.context import RunContext
from equilib.training.data import Dataset
from equilib.training.objectives import Labelling
from equilib.training.plan import Plan
from equilib.training.schedules import OneCycle
from equilib.training.trainer import Trainer

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
"""The characters that are told apart; others are taken for the last one, "~"."""


@dataclass(frozen=True)
class Positions:
    """A vector for each position of a text, which is learned and added (Vaswani et al. 2017, §3.5)."""

    length: int
    features: int

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw a vector for each position, shape (length, features)."""
        return {"weight": TruncatedNormal(0.5)(rng, (self.length, self.features))}

    def __call__(self, params: Tree, x: Array) -> Array:
        """Add the vectors to x, shape (batch, length, features)."""
        return ops.add(x, params["weight"])


@dataclass(frozen=True)
class Bits(Labelling):
    """Cross-entropy of the next character; its score counts bits for each character."""

    score_name: str = "bits"
    higher_is_better: bool = False

    def score(self, prediction: Array, target: Array) -> Array:
        """Return the bits for a character of each sample, shape (batch,)."""
        return self.of_samples(self.losses(prediction, target), target) / log(2)

    def show(self, score: float) -> str:
        """Return bits for each character."""
        return f"{score:.3f} bits a character"


def block(features: int, heads: int) -> Layer:
    """Return attention and a feed-forward layer, each beside its input and normalized after."""
    weak = TruncatedNormal(0.05)
    attention = MultiHeadAttention(features, heads, causal=True, initial_weight=weak)
    feedforward = Chain(Dense(features, 2 * features), ops.silu, Dense(2 * features, features, initial_weight=weak))
    return Chain(Parallel(Chain(), attention), LayerNorm(features), Parallel(Chain(), feedforward), LayerNorm(features))


@dataclass(frozen=True)
class CharactersExperiment(Checked):
    """The next character of the Python manual's topics, as `help()` prints them, by a transformer of any depth.

    Raises ValueError if the heads do not divide the features.
    """

    length: int = option(32, help="read so many characters at a time", minimum=2)
    features: int = option(32, help="put so many numbers in the state of a character", minimum=4)
    heads: int = option(4, help="attend with so many heads, which divide the features", minimum=1)
    limit: int = option(150_000, help="use so many characters from the start of the text", minimum=1000)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features % self.heads:
            raise ValueError(f"--heads must divide --features, and {self.heads} does not divide {self.features}")

    def make_recipe(self) -> Recipe:
        """Return the recipe."""
        cell = InjectedCell(Dense(self.features, self.features), Chain(), block(self.features, self.heads))

        def network(method: Choice) -> DEQChain:
            return DEQChain(
                Chain(Embedding(len(ALPHABET), self.features), Positions(self.length, self.features)),
                equilibrium(cell, ZeroGuess(), method),
                Dense(self.features, len(ALPHABET)),
            )

        return Recipe(
            network=network,
            schedule=lambda steps: OneCycle(5e-3, steps),
            solver="anderson",
            options={"rtol": 1e-2, "max_steps": 20},
            objective=Bits(),
            plan=Plan(epochs=4, batch_size=32, clip_gradient=0.5),
            title=f"transformer of {self.features} features and {self.heads} heads",
            samples="texts",
            conclude=_pairs,
        )

    def load_data(self, context: RunContext) -> Dataset:
        """Return pieces of the text and the characters that follow; a tenth, another for each seed, is for the test."""
        text = "".join(topics[name] for name in sorted(topics))[: self.limit]
        numbers = {character: number for number, character in enumerate(ALPHABET)}
        codes = np.array([numbers.get(character, len(ALPHABET) - 1) for character in text])
        count = (len(codes) - 1) // self.length
        inputs, targets = (codes[start:][: count * self.length].reshape(count, -1) for start in (0, 1))
        order = context.rng(1).permutation(count)
        train, test = order[: count * 9 // 10], order[count * 9 // 10 :]
        return Dataset(
            train_inputs=inputs[train],
            train_targets=targets[train],
            test_inputs=inputs[test],
            test_targets=targets[test],
            source=f"topics of Python's manual: {len(train):,} pieces of {self.length} characters, {len(test):,} test",
        )


def _pairs(trainer: Trainer) -> dict[str, float]:
    """Return the bits a character of a table of pairs of characters, which sees the last one only."""
    data, size = trainer.data, len(ALPHABET)
    counts = np.full((size, size), 0.1)
    np.add.at(counts, (to_host(data.train_inputs).ravel(), to_host(data.train_targets).ravel()), 1)
    chances = counts / counts.sum(1, keepdims=True)
    found = chances[to_host(data.test_inputs).ravel(), to_host(data.test_targets).ravel()]
    return {"bits of pairs of characters": float(-np.log2(found).mean())}
