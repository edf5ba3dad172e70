"""The mathematics of Monte Carlo: what a block of samples is, and what all blocks together say.

`streams` gives each block its random numbers, `estimators` computes a block and merges, `moments`
and `comoments` are what is merged, and `estimates` what comes of it. `integrand` and `variance` are
integrands and variance reduction, `qmc` scrambled points; `kernels`, `fused` and `compiled` the
inner loops.
"""
