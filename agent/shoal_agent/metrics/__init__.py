"""What tasks and the host use, read from the kernel's own files."""
