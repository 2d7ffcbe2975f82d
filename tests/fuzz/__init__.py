"""Fuzzer of the command line: malformed files, records and options, from seeds.

    python -m tests.fuzz --seconds 60 --seed 1

Each case has the name FORMAT:SEED:NUMBER, by which `--case` tries it again.
"""
