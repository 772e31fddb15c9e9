"""One module per resource of the specification; `routes` says which answers what."""
