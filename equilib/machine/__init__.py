"""The machine: cores, BLAS kernels, threads, devices, settings of the process."""
