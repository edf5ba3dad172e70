"""The contract of engines, by topic; `scoopsci.testing.engines` puts it together.

`samebits` compares with the serial engine; `maps` is about the map family, `futures` about the
standard library's interface and a clean end, `failures` about errors of tasks, `travel` about what
is sent to workers and back, `workers` about tasks in other processes, `surroundings` about what
a task finds around itself and leaves, `deaths` about lost workers.
"""
