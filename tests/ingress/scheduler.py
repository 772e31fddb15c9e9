"""A scheduler that says what is to be routed, and nothing else, to the real ingress over gRPC and mutual TLS."""

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

import grpc
from shoal.context import Context
from shoal.rpc import server_credentials, server_options
from shoal.v1 import traffic_pb2 as pb
from shoal.v1 import traffic_pb2_grpc

from tests.ground.certificates import Certificates


class Routing(traffic_pb2_grpc.IngressServicer):
    """`async with Routing(certificates) as routing`: `say` what is routed, read what was `reported`."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._said: pb.WatchRoutesResponse | None = None
        self._news = asyncio.Condition()
        self.reports: list[pb.ReportTargetsRequest] = []
        self._port = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self) -> None:
        """Again, too, at the same port."""
        self._server = grpc.aio.server(options=server_options())
        traffic_pb2_grpc.add_IngressServicer_to_server(self, self._server)
        credentials = server_credentials(self._certificates.credentials("scheduler", "one"))
        self._port = self._server.add_secure_port(self.endpoint, credentials)
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(0)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def context(self) -> Context:
        issued = self._certificates.files("ingress", "one")
        authority = self._certificates.authority
        return Context("default", (self.endpoint,), "default", authority, issued.certificate, issued.key)

    async def say(self, routes: pb.WatchRoutesResponse) -> None:
        async with self._news:
            self._said = routes
            self._news.notify_all()

    def states(self) -> dict[str, str]:
        """Of the last report, by task."""
        last = self.reports[-1]
        return {each.task_id: each.health.state for each in last.targets}

    async def WatchRoutes(  # noqa: N802 - the contract's name
        self, request: pb.WatchRoutesRequest, context: Any
    ) -> AsyncGenerator[pb.WatchRoutesResponse, None]:
        told = None
        while True:
            async with self._news:
                while self._said is None or self._said is told:
                    await self._news.wait()
                told = self._said
            yield told

    async def ReportTargets(  # noqa: N802 - the contract's name
        self, request: pb.ReportTargetsRequest, context: Any
    ) -> pb.ReportTargetsResponse:
        self.reports.append(request)
        return pb.ReportTargetsResponse()
