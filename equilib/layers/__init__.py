"""Layers: pure functions of parameters and an array. Images are channels last: (batch, height, width, channels)."""

from equilib.layers.containers import Activation, Chain, Flatten, Parallel
from equilib.layers.conv import Conv
from equilib.layers.dense import Dense
from equilib.layers.group_norm import GroupNorm
from equilib.layers.initializers import KaimingUniform, TruncatedNormal, glorot_uniform, ones, zeros
from equilib.layers.pooling import AveragePool, GlobalMeanPool, MaxPool

__all__ = [
    "Activation",
    "AveragePool",
    "Chain",
    "Conv",
    "Dense",
    "Flatten",
    "GlobalMeanPool",
    "GroupNorm",
    "KaimingUniform",
    "MaxPool",
    "Parallel",
    "TruncatedNormal",
    "glorot_uniform",
    "ones",
    "zeros",
]
