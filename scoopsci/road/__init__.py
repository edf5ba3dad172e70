"""The road that every workload takes: blocks, chunks, dispatch, and the fold in block order.

`mapcalls` and `sampling` start a map or a Monte Carlo run, and `runs` opens its engine and ledger.
`walk` is the state of a Monte Carlo run, `outlook` warns if its goal is far away, and `estimating`
makes an estimate of it. `dispatch` sends chunks of `inputs`; `sizing` chooses their sizes, and
`retries` resubmits lost ones. On a worker, `chunks` runs them, and `blocks` merges their partials.
`stopping` decides when a run ends, and `guarantees` what its interval holds for. `ledger` stores
finished blocks in a `ledgerfile`, whose rows prove themselves, with `partials` as bytes; `identity`
says how its run differs from another, `recorded` reads them in a later run, `replay` inspects them,
and `options` defines what users can choose.
"""
