"""SCOOP programs, run unchanged on the workers of a pool.

`options` is the command, `choose` picks hosts, `staging` copies the program's folder by `keeper`.
`origin` runs the `script` and each `worker` its tasks, both over a `session`; `stand_in` replaces
SCOOP's modules by `futures` and `shared`. `pickling` makes frames, `printing` forwards output.
"""
