"""Drives the load balancer of a cluster: `python -m shoal.ingress` beside `python -m shoal.ingress.proxies`.

program    follows the scheduler's routes, and tells it what became of them
health     whether a target is well, by its checks (pure)
checks     one check: HTTP, TCP, gRPC
checker    checks all targets, again and again
patterns   host and path patterns as Traefik's rules (pure)
traefik    routes as Traefik's configuration (pure)
folders    what lies where between the two programs
proxies    one Traefik for each port that has rules
counts     how many requests there were, out of Traefik's metrics (pure)
names      answers to questions of DNS (pure)
dns        UDP and TCP of it
"""
