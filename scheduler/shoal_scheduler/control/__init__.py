"""What should happen: pure loops over the tables. No clock, no chance, no I/O, no logging: they are arguments."""
