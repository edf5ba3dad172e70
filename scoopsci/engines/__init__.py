"""The engines, one file each behind the seam in `base`, and what is sent to their workers.

The engines are `serial`, `processes`, `scoop` and `pool`. `opening` finds one by its name, `base`
wraps it, `mapping` maps by it, and `taskfuture` is the future of a task. `payload` serialises
calls, and runs them on a worker; `delivery` decides what of the program to send along, `shared`
sends once what many tasks need, `mapped` shares the memory of large frames with processes of this
machine, `output` returns what tasks print, and `failure` their errors.
`settings` of the driver travel with a task, `surroundings` sets them and undoes what the task
changes, `initializers` set up workers. `threads` limits tasks to one thread, `auditing` notices
what they are about to do, and `counted` holds contexts that overlapping tasks share.
"""
