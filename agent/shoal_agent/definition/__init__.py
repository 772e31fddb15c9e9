"""A task definition as bodies of the create calls of the engine, their labels, and what is refused here."""
