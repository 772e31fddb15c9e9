"""The ground the tests stand on: real Docker Engines, real etcd, real images, whole clusters.

Everything lies in folders of its own, listens on ports that were free, and is ended by whoever started it.
"""
