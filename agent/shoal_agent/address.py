"""Where this host is reached by those who want what its tasks publish: as it reaches the scheduler, unless its operator
says otherwise."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from types import MappingProxyType

# Of the instance: an IP address.
ADDRESS_ATTRIBUTE = "shoal.address"

# A name server that is away must not keep the agent from its scheduler.
LOOK_SECONDS = 1.0


# Of a host that nobody reaches, or nobody knows how.
NOWHERE: Mapping[str, str] = MappingProxyType({})


async def attributes_towards(endpoint: str) -> Mapping[str, str]:
    """The host's own address on the way to host:port, by the kernel's routes, as an attribute; none if that is not
    known. Nothing is sent."""
    host, _, port = endpoint.rpartition(":")
    with contextlib.suppress(OSError, ValueError, TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS):
            loop = asyncio.get_running_loop()
            for family, kind, _, _, address in await loop.getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_DGRAM
            ):
                with contextlib.suppress(OSError), socket.socket(family, kind) as probe:
                    probe.connect(address)
                    return {ADDRESS_ATTRIBUTE: str(probe.getsockname()[0])}
    return NOWHERE
