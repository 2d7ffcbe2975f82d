"""Records of words that describe a convolution to compiled functions, one after the other behind a share's head."""

from __future__ import annotations

from equilib_numba.team import HEAD

WORD = 8
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
