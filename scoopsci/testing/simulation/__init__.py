"""The pool's protocol, simulated from seeds: a virtual clock, faulty links, and the real machines.

`world` has the clock and the links, `script` draws tasks and faults and shrinks what fails,
`broker`, `driver`, `hosts`, `workers` and `nesting` are the sides of the pool, `pool` plays a
script on them, `checks` knows the truth and compares, `mutants` are faults to be found, and `runs`
simulates many seeds.
"""
