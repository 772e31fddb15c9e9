"""The journal: what the agent knows again after its own death."""
