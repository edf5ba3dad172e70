"""Pools of plain SCOOP, ``python -m scoop``: a driver of our own beside its broker.

`scoopdriver` submits tasks in the form of `task`, `links` detect the death of workers,
`successors` replace dead workers, and `origin` and `substitute` free SCOOP's first process of work.
"""
