"""The protocol of a pool, as machines without sockets, threads, processes and clock.

Each `machine` handles events, one after another, and returns actions, which its shell in
``scoopsci.pool`` performs. `broker` reads messages; of its parts, `tasks` assigns tasks to workers,
and `hosts` decides about agents and workers, which `members` describes. `reports` judges what
agents say, `status` has what is told, `beliefs` what is believed. `agent` decides about the workers
of a host, and `driver` about tasks on their way; `brokering` and `driving` have events and actions.
`messages` are those of the broker's socket, `timing` says how long one side waits for another, and
`losses` decides whether to resubmit a task.
"""
