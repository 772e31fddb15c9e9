"""Time series in memory: what clusters, groups, instances and tasks use, and what programs put."""
