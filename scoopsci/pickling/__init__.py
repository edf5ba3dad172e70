"""How the user's program is known to workers: what is sent by name, and what a name means there.

On a worker each of the user's modules exists once, under its true name. `names` finds values by
name; `code` lists what a code object reads; `pickler` sends functions and classes by name, and
those without a name by value, as `functions` and `exceptions` rebuild them; `resources` makes
locks and the like anew. In the driver `sources` reads the user's modules, and `program` determines
which of their definitions a task needs; `replica` installs these on a worker.
"""
