"""Network namespaces that are kept ready, so that a task need not wait until one is made: docs/ready-networks.md."""
