"""The one place for gRPC channels and servers: TLS both ways, keepalive, limits, and who the peer is.

Every certificate carries one URI, `shoal://<cluster>/<role>/<name>`, and the authority of its cluster signs it.
Roles: `scheduler`, `agent` (name = instance id), `operator` (name = the user's), `ingress`. A server's certificate also
carries the DNS name `scheduler.shoal`, which clients demand whatever the address they dial.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

SERVER_NAME = "scheduler.shoal"
MESSAGE_BYTES_MAX = 4 * 1024 * 1024

# Of one connection at a time; more wait on the caller's side.
STREAMS_MAX = 1000

# Of an UNAVAILABLE, in its trailing metadata: the endpoint of the scheduler that leads; in how many milliseconds to
# come again.
LEADER_KEY = "shoal-leader"
RETRY_AFTER_KEY = "shoal-retry-after-ms"
HANDSHAKE_SECONDS = 10

_KEEPALIVE: Sequence[tuple[str, int]] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
_LIMITS: Sequence[tuple[str, int]] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", 16 * 1024),
)
# grpc's own back-off grows to minutes; a restarted server must be seen at once. The second is how long one attempt
# may take: when thousands connect to a server at once, a handshake waits for its turn.
_RECONNECT: Sequence[tuple[str, int]] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 800),
)
_SERVER: Sequence[tuple[str, int]] = (
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", STREAMS_MAX),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM texts: the authority's certificate, one's own certificate and its key."""

    authority: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def load(cls, authority: Path, certificate: Path, key: Path) -> "Credentials":
        return cls(authority.read_bytes(), certificate.read_bytes(), key.read_bytes())


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate says its holder is."""

    cluster: str
    role: str
    name: str

    @property
    def uri(self) -> str:
        return f"shoal://{self.cluster}/{self.role}/{self.name}"

    @classmethod
    def parse(cls, uri: str) -> "Identity | None":
        parts = urlsplit(uri)
        role, _, name = parts.path.strip("/").partition("/")
        if parts.scheme != "shoal" or not (parts.netloc and role and name):
            return None
        return cls(parts.netloc, role, name)


def open_channel(endpoint: str, credentials: Credentials, server_name: str = SERVER_NAME) -> grpc.aio.Channel:
    """A channel to `host:port`. The caller closes it."""
    return grpc.aio.secure_channel(
        endpoint,
        grpc.ssl_channel_credentials(credentials.authority, credentials.key, credentials.certificate),
        options=channel_options(server_name),
    )


async def until_tried(channel: grpc.aio.Channel) -> None:
    """Until a connection is made or has failed."""
    states = grpc.ChannelConnectivity
    while (state := channel.get_state(try_to_connect=True)) in (states.IDLE, states.CONNECTING):
        await channel.wait_for_state_change(state)


def channel_options(server_name: str = SERVER_NAME) -> list[tuple[str, Any]]:
    return [*_KEEPALIVE, *_LIMITS, *_RECONNECT, ("grpc.ssl_target_name_override", server_name)]


def server_options() -> list[tuple[str, Any]]:
    return [*_KEEPALIVE, *_LIMITS, *_SERVER]


def server_credentials(credentials: Credentials) -> grpc.ServerCredentials:
    """Demands a certificate of the same authority from every peer."""
    return grpc.ssl_server_credentials(
        [(credentials.key, credentials.certificate)], credentials.authority, require_client_auth=True
    )


def trailer(error: grpc.aio.AioRpcError, key: str) -> str:
    """What the server said under that key when it ended the call; empty if nothing."""
    for name, value in error.trailing_metadata() or ():
        if name == key:
            return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return ""


def peer_identity(context: grpc.aio.ServicerContext[Any, Any]) -> Identity | None:
    """Who calls, by the URI in the certificate that the TLS handshake verified."""
    for name in context.auth_context().get("x509_subject_alternative_name", ()):
        identity = Identity.parse(name.decode("utf-8", "replace"))
        if identity is not None:
            return identity
    return None
