"""The engines: one file each, all behind the seam of `base`, and what travels to their workers.

`opening` finds an engine by its name, `base` wraps it, and `taskfuture` is the future of a task.
`payload` is what travels, by `pickler`, the user's modules `byvalue`, what many tasks need once by
`shared`, what tasks print by `output`, and what goes wrong as a `failure`.
"""
