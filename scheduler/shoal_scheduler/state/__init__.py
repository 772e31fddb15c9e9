"""The tables in memory, the changes to them, and the store that makes the changes durable."""
