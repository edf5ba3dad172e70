"""The engines, one file each behind the interface in `base`, and what is sent to their workers.

`opening` finds an engine by its name, `base` wraps it, and `taskfuture` is the future of a task.
`payload` serialises calls and results with `pickler`; `byvalue` sends the user's modules, `shared`
sends once what many tasks need, `output` returns what tasks print, and `failure` their errors.
"""
