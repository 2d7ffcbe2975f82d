"""Layers: pure functions of parameters and an array. Images are channels last: (batch, height, width, channels)."""

from equilib.layers.composite import Composite
from equilib.layers.containers import Activation, Chain, Flatten, Fork, Merge, Parallel
from equilib.layers.conv import Conv
from equilib.layers.dense import Dense
from equilib.layers.dropout import Dropout
from equilib.layers.epilogue import TakesEpilogue
from equilib.layers.initializers import KaimingUniform, TruncatedNormal, glorot_uniform, ones, zeros
from equilib.layers.normalization import GroupNorm, WeightNorm
from equilib.layers.pooling import AveragePool, GlobalMeanPool, MaxPool, Upsample
from equilib.layers.protocol import Layer

__all__ = [
    "Activation",
    "AveragePool",
    "Chain",
    "Composite",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "Fork",
    "GlobalMeanPool",
    "GroupNorm",
    "KaimingUniform",
    "Layer",
    "MaxPool",
    "Merge",
    "Parallel",
    "TakesEpilogue",
    "TruncatedNormal",
    "Upsample",
    "WeightNorm",
    "glorot_uniform",
    "ones",
    "zeros",
]
