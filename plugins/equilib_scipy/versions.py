"""Versions of SciPy and what they can do."""

from __future__ import annotations


def lsoda_shares() -> bool:
    """Tell whether several integrations by LSODA may be under way at a time."""
    # Until 1.17 LSODA is Fortran with global variables, of which SciPy allows one instance at a time.
    import scipy

    return tuple(int(part) for part in scipy.__version__.split(".")[:2]) >= (1, 17)
