"""Tells an address of somebody else's something, by POST. Never one of the hosts' own network unless it is allowed:
whoever may make an alarm must not reach by it what only this host can reach.
"""

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TIMEOUT_SECONDS = 10.0
SCHEMES = ("http", "https")
ADDRESS_CHARACTERS_MAX = 1024


class NotToldError(Exception):
    """Why, in words for people."""


def check(address: str) -> str:
    """What is wrong with the address, "" for nothing. Pure."""
    if len(address) > ADDRESS_CHARACTERS_MAX:
        return f"has more than {ADDRESS_CHARACTERS_MAX} characters"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is no address: {error}"
    if parts.scheme not in SCHEMES or not host:
        return "must be an address that begins with https:// or http://"
    if not address.isascii() or not address.isprintable() or " " in address:
        return "has characters that no address has"
    return ""


def is_allowed(address: str, networks: Iterable[Network]) -> bool:
    """Whether that IP address may be dialled: one of the public internet, or one of these networks. Pure."""
    found: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_global or any(found in network for network in networks)


class Webhooks:
    """Use as `async with`. `networks`: what may be dialled beside the public internet."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    async def __aenter__(self) -> "Webhooks":
        self._session = guarded_session(self._networks, TIMEOUT_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def tell(self, address: str, document: Mapping[str, Any]) -> None:
        """Once. Raises NotToldError unless it is answered with a status of 2xx; redirects are not followed."""
        try:
            check_literal(address, self._networks)
            async with self._session.post(address, json=document, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    raise NotToldError(f"it answered {answer.status}")
        except TimeoutError:
            raise NotToldError(f"no answer within {TIMEOUT_SECONDS:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise NotToldError(str(error.os_error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotToldError(str(error) or type(error).__name__) from None


def guarded_session(networks: Sequence[Network], timeout_seconds: float) -> aiohttp.ClientSession:
    """Dials no name that means an address which is not allowed; of an address that is a number: `check_literal`."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=_Resolver(networks), use_dns_cache=False),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def check_literal(address: str, networks: Sequence[Network]) -> None:
    """A number is never resolved, so the resolver does not see it. Raises OSError if it may not be dialled."""
    host = urlsplit(address).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not is_allowed(host, networks):
        raise OSError(_not_allowed(host))


class _Resolver(AbstractResolver):
    """What is dialled is what was checked: a name that means another address a moment later gains nothing."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        allowed = [each for each in found if is_allowed(each["host"], self._networks)]
        if not allowed:
            raise OSError(_not_allowed(host))
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def _not_allowed(host: str) -> str:
    return f"{host} is in no public network: list it in --webhook-networks of the scheduler"
