"""Functions that numba compiles; this package is imported when one is not on disk yet."""
