"""The HTTPS listener by which hosts join, of a scheduler in this process, and hosts that ask it."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shoal.certificates import ensure_authority
from shoal.joining import enter
from shoal.joining.call import ask, trusting
from shoal.joining.identity import IdentityFolder, Member
from shoal.joining.token import Token
from shoal.rpc import Credentials, open_channel
from shoal.v1 import join_token_pb2 as pb
from shoal_scheduler.api.http import Files, HttpServer
from shoal_scheduler.api.joining import Joining

from tests.fakes.scheduler import Scheduler

DAY = timedelta(days=1)


@dataclass
class Door:
    """`shift`: how far ahead of the wall clock its certificates are issued."""

    scheduler: Scheduler
    server: HttpServer
    joining: Joining
    shift: timedelta = timedelta()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def token(self, **asked: Any) -> Token:
        answer = await self.scheduler.cluster.CreateJoinToken(pb.CreateJoinTokenRequest(**asked))
        return Token.parse(answer.token)

    async def join(self, token: Token, folder: Path) -> Member:
        return await asyncio.to_thread(enter.join, [self.endpoint], token, IdentityFolder(folder))

    async def post(self, path: str, document: dict[str, object], certificate: Path | None = None) -> bytes:
        """By a client that trusts the scheduler."""
        authority = self.scheduler.certificates.authority.read_bytes()
        key = certificate.with_suffix(".key") if certificate else None
        return await asyncio.to_thread(
            ask, self.endpoint, trusting(authority, certificate, key), "POST", path, document
        )

    def channel(self, folder: Path) -> Any:
        """To the scheduler's gRPC, as the agent that joined."""
        files = IdentityFolder(folder)
        credentials = Credentials.load(files.authority, files.certificate, files.key)
        return self.scheduler.keep(open_channel(self.scheduler.address, credentials))


async def open_door(scheduler: Scheduler, *, life: timedelta = DAY, with_key: bool = True) -> Door:
    """Call `server.stop` in the end."""
    certificates = scheduler.certificates
    authority = ensure_authority(certificates.folder, certificates.cluster, datetime.now(UTC))
    issued = certificates.files("scheduler", "one")
    pem = certificates.authority.read_bytes()
    joining = Joining(scheduler.gate, authority if with_key else None, pem, scheduler.server.port, life)
    files = Files(certificates.authority, issued.certificate, issued.key)
    door = Door(scheduler, HttpServer("127.0.0.1:0", files, joining.routes()), joining)
    joining.now = lambda: datetime.now(UTC) + door.shift
    await door.server.start()
    return door
