"""Places on the board that threads take their shares from, in bytes, and bits of the word that counts shares."""

from __future__ import annotations

# What different threads write lies on different lines of the cache.
SHARES, DONE, CALL, ARGUMENTS, BUSY = 0, 64, 128, 136, 192
TEAM, ACQUIRE, RELEASE, YIELD, SLEEPERS = 256, 264, 272, 280, 320
LINE = 64
BITS = 16
MOST = (1 << BITS) - 1
"""The largest number of shares."""
