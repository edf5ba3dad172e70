"""The parts of a pool: driver, broker, agents and workers.

`driver` submits tasks, each with its `poolfuture`; `brokerprocess` starts the `broker`, whose
`config` names the hosts. `supervisor` starts an `agent` on each through `launcher` and `place`,
`worker` runs tasks, `lifetime` ends it with its driver, and a `leash` asks it to end; `vitals` are
what an agent reads of its host. `status` has the log of losses, `broadcast` arrays sent once to
each host, and `trace` recordings. Who decides what, and by which messages, is the matter of
``scoopsci.protocol``. `plain` serves pools of plain SCOOP.
"""
