"""The contract of engines, by what must hold; `scoopsci.testing.engines` puts it together.

The names of the tests say what must hold.
"""
