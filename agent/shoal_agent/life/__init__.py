"""The life of a task on this host: what is seen and wished, the next steps (pure), and the lane that takes them."""
