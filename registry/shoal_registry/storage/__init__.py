"""Where the registry keeps what it holds: behind the protocol in `store`, at the paths in `paths`."""
