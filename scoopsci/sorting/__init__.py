"""The parts of a sort.

`sortedruns` merges and cuts sorted runs, `phases` sorts in two phases on workers, and
`sharedarrays` holds arrays in memory shared between processes.
"""
