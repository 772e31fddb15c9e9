"""Serves any fake service over real gRPC and mutual TLS, and refuses as the scheduler does."""

from concurrent import futures
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from shoal import certificates
from shoal.context import Context
from shoal.rpc import LEADER_KEY, Credentials, Identity, server_credentials, server_options
from shoal.v1 import cluster_pb2_grpc, metrics_pb2_grpc, resource_pb2, service_pb2, services_pb2_grpc

CLUSTER = "default"


def refuse(
    context: Any,
    message: str,
    code: int = code_pb2.INVALID_ARGUMENT,
    reason: str = "ClientException",
    fields: dict[str, str] | None = None,
    leader: str = "",
) -> None:
    """Aborts as the scheduler does: a status with google.rpc details, and who leads."""
    details = [_packed(error_details_pb2.ErrorInfo(reason=reason, domain="shoal"))]
    if fields:
        bad = error_details_pb2.BadRequest()
        for path, description in fields.items():
            bad.field_violations.add(field=path, description=description)
        details.append(_packed(bad))
    status = status_pb2.Status(code=code, message=message, details=details)
    where = [(LEADER_KEY, leader)] if leader else []
    context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString()), *where])
    context.abort(next(each for each in grpc.StatusCode if each.value[0] == code), message)


class _NoServices(services_pb2_grpc.ServicesServicer):
    """There are none."""

    def DescribeServices(self, request: service_pb2.DescribeServicesRequest, context: Any) -> Any:  # noqa: N802
        missing = [resource_pb2.Failure(arn=name, reason="MISSING") for name in request.services]
        return service_pb2.DescribeServicesResponse(failures=missing)


@dataclass
class Running:
    server: grpc.Server
    context: Context


def serve(
    service: cluster_pb2_grpc.ClusterServicer, folder: Path, metrics: metrics_pb2_grpc.MetricsServicer | None = None
) -> Running:
    """Starts it on a free port, with an authority and certificates of its own in `folder`."""
    now = datetime.now(UTC)
    authority = certificates.ensure_authority(folder, CLUSTER, now)
    issued = [
        certificates.ensure_certificate(authority, folder, role, Identity(CLUSTER, role, "test"), now)
        for role in ("scheduler", "operator")
    ]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=server_options())
    cluster_pb2_grpc.add_ClusterServicer_to_server(service, server)
    services_pb2_grpc.add_ServicesServicer_to_server(_NoServices(), server)  # type: ignore[abstract]
    if metrics is not None:
        metrics_pb2_grpc.add_MetricsServicer_to_server(metrics, server)
    credentials = Credentials.load(authority.path, issued[0].certificate, issued[0].key)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(credentials))
    server.start()
    endpoint = f"127.0.0.1:{port}"
    context = Context(CLUSTER, (endpoint,), CLUSTER, authority.path, issued[1].certificate, issued[1].key)
    return Running(server, context)


def _packed(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
