"""Serves the fake Cluster service, and says SERVING once etcd answers; knows of one instance, the agent's."""

import argparse
import os
import signal
import socket
import time
from concurrent import futures
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from shoal import arn
from shoal.rpc import Credentials, server_credentials, server_options
from shoal.v1 import cluster_pb2_grpc

from tests.fakes.cluster_service import ClusterService
from tests.fakes.serving import CLUSTER

parser = argparse.ArgumentParser()
for name in (
    "--listen",
    "--etcd",
    "--authority",
    "--certificate",
    "--key",
    "--cluster",
    "--http-listen",
    "--authority-key",
    "--state",
    "--registry",
    "--ingress-wanted",
):
    parser.add_argument(name, required=True)
arguments = parser.parse_args()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

host, _, port = arguments.etcd.split(",")[0].rpartition(":")
while socket.socket().connect_ex((host, int(port))):
    time.sleep(0.02)

service = ClusterService()  # type: ignore[abstract]
instance = next(iter(service.state.instances.values()))
told = Path("../agent/instance_id")
while not told.exists():
    time.sleep(0.02)
instance_id = told.read_text()
service.state.instances = {instance_id: instance}
instance.container_instance_arn = arn.container_instance_arn(CLUSTER, instance_id)
server = grpc.server(futures.ThreadPoolExecutor(8), options=server_options())
cluster_pb2_grpc.add_ClusterServicer_to_server(service, server)
checks = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(checks, server)
credentials = Credentials.load(Path(arguments.authority), Path(arguments.certificate), Path(arguments.key))
server.add_secure_port(arguments.listen, server_credentials(credentials))
server.start()
checks.set("", health_pb2.HealthCheckResponse.SERVING)
server.wait_for_termination()
