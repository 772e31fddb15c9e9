"""Several hosts on one machine, for `shoal up --hosts N`: to try a real cluster, and its faults, on a laptop.

A host is a network namespace with an address of its own on a bridge, and in it a containerd, a Docker Engine and an
agent of its own. The control plane listens on the bridge's address.

plan       which hosts there are, their names and addresses, kept in hosts.json (pure)
programs   what runs in each, for the supervisor (pure)
network    bridge, namespaces and the links between them; cutting a host off
processes  who belongs to a host; ending all of it
power      switching hosts on and off: network, processes and what they leave together
"""
