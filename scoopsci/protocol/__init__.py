"""The protocol of a pool, as machines without sockets, threads, processes and clock.

Each `machine` handles events, one after another, and returns actions, which its shell in
``scoopsci.pool`` performs. `broker` decides about tasks, and its part `hosts` about agents and
workers, which `members` describes; `brokering` has their events and actions, `status` what they
tell. `messages` are those of the broker's socket, and `losses` decides whether to resubmit a task.
"""
