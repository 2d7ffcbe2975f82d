"""Records of words that describe a convolution to compiled functions, one after the other behind a share's head."""

from __future__ import annotations

WORD = 8
HEAD = 2 * WORD
"""Bytes of the words of a share that come before those that are given: the numbers of shares and of items."""

STAGES = HEAD
"""Addresses of functions that methods have in common: product, take, give, lay the image out, lay the kernel out."""

IMAGES = STAGES + 5 * WORD
"""Activation, x, value, samples, height, width, channels: what is convolved is φ'(a) x, with φ(a) = value."""

KERNEL = IMAGES + 7 * WORD
"""Weight, its columns, inputs and outputs; first line, step, first column, step; height, width; turned; laid out.

A turned kernel is the one of the transpose, whose channels are exchanged. The last is the weight again if it is laid
out as needed, else 0.
"""

RESULT = KERNEL + 12 * WORD
"""Before and its step, after and its step, activation, array, its height, width and channels.

A step is in bytes from one pixel to the next, or −1 where there is no such term.
"""

METHOD = RESULT + 9 * WORD
"""What only one method takes."""

COTANGENTS = IMAGES + 7 * WORD
"""The cotangent, another record of images, in place of the kernel, where the kernel's cotangent is asked for."""

ACTIVATIONS = {"identity": 0, "tanh": 1, "sigmoid": 2, "relu": 3}
"""The activations that can be fused, and their numbers in compiled code."""

IDENTITY, TANH, SIGMOID, RELU = ACTIVATIONS.values()
