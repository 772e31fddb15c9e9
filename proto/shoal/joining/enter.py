"""The joining host's side. In this order: the authority is fetched from whoever answers and compared with the token's
pin; everything after that goes to a scheduler that this authority vouches for, the secret first of all."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shoal.certificates import read_key, write_private
from shoal.errors import LimitExceeded, Refused, Unreachable
from shoal.joining.call import answered, ask, trusting, unverified
from shoal.joining.identity import IdentityFolder, Member, described
from shoal.joining.token import Token, pin_of
from shoal.whole_file import write_whole

PAUSE_SECONDS_MAX = 5.0


class AnotherAuthority(Refused):
    """Who answers is not the cluster of the token."""


def join(
    endpoints: Sequence[str],
    token: Token,
    folder: IdentityFolder,
    patience_seconds: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Member:
    """Whoever of the schedulers leads makes this host a member; a host that is one already stays what it is.

    Safe to repeat with the same token: the key is kept, and by it the cluster knows who asks again.
    Raises AnotherAuthority before the secret is told; Denied, Refused as the cluster says; after `patience_seconds`
    without a scheduler that can answer, Unreachable.
    """
    known = folder.member()
    if known is not None:
        if pin_of(folder.authority.read_bytes()) != token.pin:
            raise AnotherAuthority(
                f"This host is a member of another cluster, by {folder.root}.", "Give it another --state."
            )
        return known
    for endpoint, pause_seconds in zip(_again_and_again(endpoints), _pauses(len(endpoints)), strict=False):
        try:
            return _join(endpoint, endpoints, token, folder)
        except (Unreachable, LimitExceeded):
            if patience_seconds <= 0 and endpoint == endpoints[-1]:
                raise
            patience_seconds -= pause_seconds
            sleep(pause_seconds)
    raise AssertionError("it goes on until it returns or raises")


def _again_and_again(endpoints: Sequence[str]) -> Iterator[str]:
    return chain.from_iterable(repeat(endpoints))


def _pauses(endpoints: int) -> Iterator[float]:
    """Longer with each round, of random length, so that hosts that start together do not ask together."""
    chance, limit_seconds = Random(), 0.2
    while True:
        for _ in range(endpoints):
            yield chance.uniform(limit_seconds / 2, limit_seconds)
        limit_seconds = min(PAUSE_SECONDS_MAX, limit_seconds * 2)


def _join(endpoint: str, endpoints: Sequence[str], token: Token, folder: IdentityFolder) -> Member:
    authority = fetch_authority(endpoint, token.pin)
    tls = trusting(authority)
    key = _key(folder)
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    asked = {
        "secret": token.secret,
        "role": "agent",
        "request": request.public_bytes(serialization.Encoding.PEM).decode(),
    }
    cluster, instance, certificate = answered(
        ask(endpoint, tls, "POST", "/join", asked), "cluster", "instance", "certificate"
    )
    member = Member(cluster, instance, _schedulers(endpoints, endpoint, authority), list(endpoints))
    write_whole(folder.authority, authority)
    write_whole(folder.description, described(member))
    write_whole(folder.certificate, certificate.encode())
    return member


def fetch_authority(endpoint: str, pin: str) -> bytes:
    """Raises AnotherAuthority, Unreachable."""
    authority = ask(endpoint, unverified(), "GET", "/authority")
    try:
        found = pin_of(authority)
    except ValueError:
        raise Unreachable(f"{endpoint} is no scheduler: it gave no certificate.") from None
    if found != pin:
        raise AnotherAuthority(
            f"{endpoint} is not the cluster that gave the token: its authority is {found[:16]}…, not {pin[:16]}….",
            "Check the address. The token was not told.",
        )
    return authority


def _schedulers(endpoints: Sequence[str], joined_at: str, authority: bytes) -> list[str]:
    """Where gRPC is at each: it says so itself. Of one that does not answer now, the same port is taken."""
    tls = trusting(authority)
    (port,) = answered(ask(joined_at, tls, "GET", "/scheduler"), "port")
    found = []
    for endpoint in endpoints:
        ports = [port]
        if endpoint != joined_at:
            try:
                ports = answered(ask(endpoint, tls, "GET", "/scheduler"), "port")
            except (Unreachable, Refused):
                ports = [port]
        found.append(f"{endpoint.rpartition(':')[0]}:{int(ports[0])}")
    return found


def _key(folder: IdentityFolder) -> ec.EllipticCurvePrivateKey:
    """The one made at an earlier try, if there was one."""
    if not folder.key.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(folder.key, key)
    return read_key(folder.key)
