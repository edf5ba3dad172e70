"""The engines, one file each behind the seam in `base`, and what is sent to their workers.

The engines are `serial`, `processes`, `scoop` and `pool`. `opening` finds one by its name, `base`
wraps it, and `taskfuture` is the future of a task. `payload` serialises calls, and
runs them on a worker; `delivery` decides what of the program to send along, `shared` sends once
what many tasks need, `output` returns what tasks print, and `failure` their errors. `threads`
limits tasks to one thread; `counted` holds contexts that overlapping tasks share.
"""
