"""Pools of plain SCOOP, ``python -m scoop``: a driver of our own beside its broker.

`scoopdriver` submits `task` over `links`, `origin` and `substitute` free SCOOP's first process of
work, and `heirs` take the places of dead workers.
"""
