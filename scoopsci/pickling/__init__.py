"""How the user's program is known to workers: what is sent by name, and what a name means there.

On a worker each of the user's modules exists once, under its true name. `names` finds values by
name, `sources` the text of modules; `code` lists what a code object names, and `reach` the names of
the user's that a function reaches. `pickler` pickles functions and classes by name, and those
without a name by value, as `functions`, `classes`, `enums`, `exceptions` and `reducers` rebuild
them, with `attributes` set as the program has them; `containers` are filled once their names are
defined, `groups` of objects that refer to each other made at once, and `resources` made anew.
`frames` are what is sent, `whole` those of a value with all that it needs. In the driver `program`
keeps what names stand for as `entries`, by version; a worker's `replica` installs these, and
recognises by `marks` what it has made itself.
"""
