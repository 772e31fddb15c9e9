"""Where a task goes: (ask, view of the cluster) -> placements, or the reasons why not. Pure."""
