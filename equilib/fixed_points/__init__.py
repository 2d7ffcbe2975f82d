"""Fixed points: the problem, the protocol of solvers, `solve` and its driver, stopping tests, solutions."""
