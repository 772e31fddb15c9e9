"""Hosts that join, over HTTPS: they have no certificate yet, or one that has run out.

    GET  /authority   the authority's certificate (PEM): the host compares it with its token's pin
    GET  /scheduler   {"port"}: where this scheduler's gRPC is
    POST /join        {"secret", "role", "request"}: a certificate for the key of a certificate request (PEM)
    GET  /nonce       {"nonce"}: to be signed by who renews a certificate that has run out
    POST /renew       a new certificate for the same key and name: by TLS with the old one, or for
                      {"certificate", "nonce", "signature"}

Names are given here and never taken from a request. The secret is told only to who proved to be the cluster.
"""

import hashlib
import hmac
import logging
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from shoal import certificates
from shoal.certificates import Authority, PublicKey
from shoal.joining.token import hash_of, proof_of
from shoal.rate_limit import RateLimit
from shoal.rpc import Identity

from shoal_scheduler.api.gate import Gate
from shoal_scheduler.api.http import Handler, body_of, certificate_of
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.joining import check_not_revoked
from shoal_scheduler.model.refusal import Refused, invalid_field

log = logging.getLogger(__name__)

# Of one address: so many wrong ones at once, and so many a second.
WRONG_BURST = 20
WRONG_PER_SECOND = 1.0
ADDRESSES_MAX = 10_000
NONCE_SECONDS = 60


@dataclass
class Joining:
    """`authority` is None where the scheduler was not given its key: then nobody joins here."""

    gate: Gate
    authority: Authority | None
    authority_pem: bytes
    port: int
    life: timedelta
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        self._wrong = RateLimit(WRONG_PER_SECOND, WRONG_BURST, ADDRESSES_MAX)
        self._nonces = Nonces(secrets.token_bytes(32))

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("GET", "/authority"): self._tell_authority,
            ("GET", "/scheduler"): self._tell_scheduler,
            ("POST", "/join"): self._join,
            ("GET", "/nonce"): self._tell_nonce,
            ("POST", "/renew"): self._renew,
        }

    async def _tell_authority(self, _request: web.Request) -> web.Response:
        return web.Response(body=self.authority_pem, content_type="application/x-pem-file")

    async def _tell_scheduler(self, _request: web.Request) -> web.Response:
        return web.json_response({"port": self.port})

    async def _tell_nonce(self, _request: web.Request) -> web.Response:
        return web.json_response({"nonce": self._nonces.draw(time.time())})

    async def _join(self, request: web.Request) -> web.Response:
        authority = self._issuing()
        with self._counted(request):
            asked = await body_of(request)
            key = _requested_key(text_of(asked, "request"))
            token_hash = hash_of(text_of(asked, "secret"))
            if token_hash is None:
                raise invalid_field("secret", "must be 64 hexadecimal digits.")
            use = i.UseJoinToken(token_hash, text_of(asked, "role"), certificates.fingerprint(key), uuid.uuid4().hex)
            joined = await self.gate.plane.engine.submit(use)
        assert isinstance(joined, i.Joined)
        log.info("a host joined instance=%s address=%s token=%s", joined.instance, request.remote, token_hash[:12])
        return self._issued(authority, key, Identity(joined.cluster, "agent", joined.instance))

    async def _renew(self, request: web.Request) -> web.Response:
        authority = self._issuing()
        with self._counted(request):
            shown = certificate_of(request)
            if shown is not None:  # the handshake verified it, and that its key is there
                certificate = x509.load_der_x509_certificate(shown)
            else:
                certificate = await self._proven(authority, await body_of(request))
            identity = certificates.identity_in(certificate)
            if identity is None or identity.role != "agent":
                raise Refused("denied", "Only the certificate of an agent is renewed here.")
            check_not_revoked(self.gate.plane.tables.instances.get(identity.name))
            key = certificates.agents_key(certificate.public_key())
        log.info("a certificate was renewed instance=%s address=%s", identity.name, request.remote)
        return self._issued(authority, key, identity)

    async def _proven(self, authority: Authority, asked: Mapping[str, object]) -> x509.Certificate:
        """A certificate of this authority, run out or not, whose key signed a nonce of ours. Raises Refused."""
        nonce, signature = text_of(asked, "nonce"), text_of(asked, "signature")
        if not self._nonces.is_ours(nonce, time.time()):
            raise Refused("denied", "The nonce is not one of this scheduler's, or too old: ask for another.")
        try:
            certificate = x509.load_pem_x509_certificate(text_of(asked, "certificate").encode())
            certificate.verify_directly_issued_by(authority.certificate)
            key = certificates.agents_key(certificate.public_key())
            key.verify(bytes.fromhex(signature), proof_of(nonce), ec.ECDSA(hashes.SHA256()))
        except (ValueError, TypeError, InvalidSignature):
            raise Refused("denied", "This does not prove to hold the key of a certificate of this cluster.") from None
        return certificate

    def _issuing(self) -> Authority:
        if self.authority is None:
            raise Refused(
                "failed_precondition",
                "This scheduler cannot issue certificates: it was started without --authority-key.",
            )
        return self.authority

    def _issued(self, authority: Authority, key: PublicKey, identity: Identity) -> web.Response:
        certificate = certificates.issue_to_agent(authority, key, identity, self.now(), self.life)
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return web.json_response({"cluster": identity.cluster, "instance": identity.name, "certificate": pem})

    @contextmanager
    def _counted(self, request: web.Request) -> Iterator[None]:
        """Whoever is wrong too often waits; who is right is not counted."""
        bucket = self._wrong.bucket(request.remote or "", time.monotonic())
        if not bucket.take(time.monotonic()):
            raise Refused("exhausted", "Too many wrong requests came from this address: wait.")
        try:
            yield
        except Refused as refused:
            log.warning("refused path=%s address=%s reason=%s", request.path, request.remote, refused.message)
            raise
        except BaseException:
            bucket.give_back()
            raise
        else:
            bucket.give_back()


class Nonces:
    """Each good for a minute, at the scheduler that drew it; none is remembered."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def draw(self, now: float) -> str:
        said = f"{int(now)}.{secrets.token_hex(16)}"
        return f"{said}.{self._seal(said)}"

    def is_ours(self, nonce: str, now: float) -> bool:
        said, _, seal = nonce.rpartition(".")
        if not hmac.compare_digest(self._seal(said).encode(), seal.encode()):
            return False
        return abs(now - int(said.partition(".")[0])) <= NONCE_SECONDS

    def _seal(self, said: str) -> str:
        return hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()


def text_of(asked: Mapping[str, object], field: str) -> str:
    value = asked.get(field)
    if not isinstance(value, str):
        raise invalid_field(field, "is required: a text.")
    return value


def _requested_key(request_pem: str) -> PublicKey:
    try:
        return certificates.requested_key(request_pem.encode())
    except (ValueError, TypeError) as error:
        raise invalid_field("request", f"is not a certificate request that can be granted: {error}.") from None
