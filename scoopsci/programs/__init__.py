"""SCOOP programs, run unchanged on the workers of a pool.

`choose` picks hosts, and `staging` copies the program's folder there, by `keeper`.
`origin` runs the `script` and each `worker` its tasks, both over a `session`; `stand_in` replaces
SCOOP's modules by `futures` and `shared`. `pickling` makes frames, `printing` forwards output.
"""
