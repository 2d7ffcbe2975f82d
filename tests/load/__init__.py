"""Load: many threads, processes, solves within solves, and days of work, in small for the tests and in large by hand.

python -m tests.load --kernels none --threads 8 --solves 500 --steps 3000
"""
