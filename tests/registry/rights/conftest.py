"""A registry that asks who somebody is, and those who may and may not."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import aiohttp
import pytest
from shoal.registry import RegistryClient

from tests.ground.certificates import Certificates
from tests.ground.image_registry import ImageRegistry
from tests.registry.client import Client

_NUMBERS = count()


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[ImageRegistry]:
    registry = ImageRegistry(tmp_path_factory.mktemp("closed"), certificates, is_open=False)
    registry.start()
    yield registry
    registry.end()


def tls_of(registry: ImageRegistry, role: str, name: str) -> ssl.SSLContext:
    """With a certificate of the cluster's authority."""
    context, issued = registry.tls(), registry.certificates.files(role, name)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


@pytest.fixture
async def stranger(closed_registry: ImageRegistry) -> AsyncIterator[Client]:
    """Its repository is no other test's."""
    # Connections are kept apart by the context they were opened with: none shows another caller's certificate.
    async with aiohttp.ClientSession() as session:
        yield Client(session, closed_registry.url, closed_registry.tls(), f"rights/number-{next(_NUMBERS)}")


@pytest.fixture
def operator(stranger: Client, closed_registry: ImageRegistry) -> Client:
    return replace(stranger, tls=tls_of(closed_registry, "operator", "ann"))


@pytest.fixture
def agent(stranger: Client, closed_registry: ImageRegistry) -> Client:
    return replace(stranger, tls=tls_of(closed_registry, "agent", "i-1"))


@pytest.fixture
async def ecr(closed_registry: ImageRegistry) -> AsyncIterator[RegistryClient]:
    """As an operator."""
    issued = closed_registry.certificates.files("operator", "ann")
    async with RegistryClient(
        closed_registry.address, closed_registry.authority, issued.certificate, issued.key
    ) as client:
        yield client


AccountFactory = Callable[..., Awaitable[Client]]


@pytest.fixture
def account(stranger: Client, operator: Client) -> AccountFactory:
    """A new account that may do these to such repositories; who calls as it."""

    async def make(repositories: str, *actions: str, **fields: Any) -> Client:
        name = f"account-{next(_NUMBERS)}"
        rights = [{"repositories": repositories, "actions": list(actions)}] if actions else []
        answer = await operator.call("POST", "/accounts", json.dumps({"name": name, "rights": rights, **fields}))
        assert answer.status == 201, answer
        return stranger.basic(name, answer.json["secret"])

    return make


async def token(client: Client, *scopes: str) -> str:
    """What that caller is given for those scopes."""
    answer = await client.call("GET", "/token?" + "&".join(f"scope={scope}" for scope in scopes))
    assert answer.status == 200, answer
    return str(answer.json["token"])
