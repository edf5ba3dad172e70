"""Benchmarks: the same work done on several engines or by several methods, timed side by side.

`children` runs commands, `startup` starts workers before any timing, `rounds` interleaves and
compares times, `workloads` are what engines are compared by. `comparison` is the result of
comparing engines and `summary` computes it; `methods` and `sorts` compare methods of mapping and of
sorting.
"""
