"""The toolbox of solvers: linear equations without a matrix, dense systems, line search, secants."""
