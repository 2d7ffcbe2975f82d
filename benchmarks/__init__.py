"""Benchmarks: `python -m benchmarks NAME`. No test asserts a time."""
