"""ODE integrators as an equilib plugin: for initial value problems, and as fixed-point solvers."""
