"""What every room may use: checks of arguments, the hash of a user's code, optional packages.

`arguments` checks numbers. `codehash` tells whether two functions are the same, by a `description`
of all that they read: of `bytecode`, and of the `members` of objects; `randomness` recognises
captured generators. `extras` imports optional packages, `interrupts` defers Ctrl-C, `moved` knows
the former names of our modules, `ownership` whose a module is, `processors` counts those that may
be used, and `wording` formats numbers for people.
"""
