"""The port to a container engine, and the Docker Engine behind it."""
