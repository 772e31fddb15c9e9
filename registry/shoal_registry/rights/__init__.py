"""Who somebody is and what they may do. `callers` and `gate` are what the rest of the registry uses."""
