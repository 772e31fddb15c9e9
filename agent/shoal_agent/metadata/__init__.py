"""What containers may read about themselves: the task metadata endpoint, version 4."""
