"""Keeps a cluster running on one machine, for `shoal up`: etcd, scheduler, one agent, perhaps an engine.

layout     where things lie in the state folder
settings   what was chosen once and is kept: name, ports, instance id
prepare    everything that must exist before the first start: settings, certificates
programs   which programs run, and how they are called (pure)
processes  who runs: a pid that is verified by its start time
keep       starts each program, starts it again when it ends
__main__   the supervisor process itself; it holds a lock on the state folder while it lives
"""
