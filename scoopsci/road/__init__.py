"""The road that every workload takes: blocks, chunks, dispatch, and the fold in block order.

`mapcalls` and `sampling` start a run of a map or of Monte Carlo, `runs` opens its engine and
ledger, `dispatch` sends `chunks` of `blocks`, in sizes by `sizing` and after losses by `retries`.
`stopping` decides how far a run goes, `ledger` keeps what is `recorded`, `replay` looks into it,
and `options` is what a user may choose.
"""
