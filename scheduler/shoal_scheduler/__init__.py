"""The control plane: one pure step over tables in memory, made durable in etcd, behind gRPC."""
