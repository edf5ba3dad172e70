"""The mathematics of Monte Carlo: how blocks are sampled, merged, and summarised as an estimate.

`streams` gives each block its random numbers, `estimators` computes and merges blocks, `samples`
checks what a user's function returns, `moments` and `comoments` are the partials, `intervals` their
confidence intervals, and `estimates` the results. `sequences` has intervals that hold at every
look, which `anytime` gives to estimates. `integrand` and `variance` hold integrands and variance
reduction, `stated` tests what a user states for it, `qmc` scrambles points; `kernels`, `fused` and
`compiled` are the inner loops.
"""
