"""Records of the cluster's state. No I/O, no protocol messages, no logging."""
