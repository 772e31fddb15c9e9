"""Seeded interleavings of pushes, pulls, mounts, deletes and collections by several registries on one store.

The registry's own code runs over a store in memory, in the virtual time of `tests.simulation.ring2.loop`.
"""
