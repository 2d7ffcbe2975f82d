"""Layers: pure functions of parameters and an array. Images are channels last: (batch, height, width, channels)."""

from equilib.layers.attention import MultiHeadAttention
from equilib.layers.batch_norm import BatchNorm
from equilib.layers.composite import Composite
from equilib.layers.containers import Activation, Chain, Flatten, Fork, Merge, Parallel
from equilib.layers.conv import Conv
from equilib.layers.conv1d import Conv1d
from equilib.layers.conv_transpose import ConvTranspose
from equilib.layers.dense import Dense
from equilib.layers.dropout import Dropout
from equilib.layers.embedding import Embedding
from equilib.layers.epilogue import TakesEpilogue
from equilib.layers.initializers import KaimingUniform, TruncatedNormal, glorot_uniform, ones, zeros
from equilib.layers.layer_norm import LayerNorm
from equilib.layers.normalization import GroupNorm, WeightNorm
from equilib.layers.observation import observing
from equilib.layers.pooling import AveragePool, GlobalMeanPool, MaxPool, Upsample
from equilib.layers.protocol import Layer
from equilib.layers.rms_norm import RMSNorm
from equilib.layers.sparse_product import SparseProduct

__all__ = [
    "Activation",
    "AveragePool",
    "BatchNorm",
    "Chain",
    "Composite",
    "Conv",
    "Conv1d",
    "ConvTranspose",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Fork",
    "GlobalMeanPool",
    "GroupNorm",
    "KaimingUniform",
    "Layer",
    "LayerNorm",
    "MaxPool",
    "Merge",
    "MultiHeadAttention",
    "Parallel",
    "RMSNorm",
    "SparseProduct",
    "TakesEpilogue",
    "TruncatedNormal",
    "Upsample",
    "WeightNorm",
    "glorot_uniform",
    "observing",
    "ones",
    "zeros",
]
