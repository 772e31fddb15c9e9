"""Every field of RegisterTaskDefinition: a table of what each one does here, and the test that shows it."""
