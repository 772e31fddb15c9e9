"""The door: who may call, what is well formed, and messages to records and back."""
