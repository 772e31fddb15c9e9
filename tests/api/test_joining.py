"""Hosts join over the real listener, by the code that a joining host runs."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from shoal import errors
from shoal.certificates import AGENT_NAME, ensure_authority, identity_in, read_certificate
from shoal.joining import enter
from shoal.joining.identity import IdentityFiles, IdentityFolder
from shoal.joining.renewal import renew
from shoal.joining.token import Token, pin_of, proof_of
from shoal.rate_limit import RateLimit
from shoal.rpc import SERVER_NAME, Identity
from shoal.v1 import container_instance_pb2, join_token_pb2
from shoal_scheduler.api import joining

from tests.api.joining import Door, open_door
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates


@pytest.fixture
async def door(scheduler: Scheduler) -> AsyncIterator[Door]:
    opened = await open_door(scheduler)
    yield opened
    await opened.server.stop()


def request_of(key: Any, *names: x509.GeneralName, common_name: str = "") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = x509.CertificateSigningRequestBuilder(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def asked(token: Token, key: Any = None, **more: Any) -> dict[str, object]:
    key = key or ec.generate_private_key(ec.SECP256R1())
    return {"secret": token.secret, "role": "agent", "request": request_of(key), **more}


async def test_a_host_joins_and_its_agent_has_a_session(door: Door, tmp_path: Path) -> None:
    member = await door.join(await door.token(), tmp_path)
    assert (member.cluster, list(member.schedulers)) == ("default", [door.scheduler.address])
    async with SimulatedAgent(door.channel(tmp_path), member.instance):
        assert list(door.scheduler.plane.tables.sessions) == [member.instance]


async def test_the_key_stays_where_it_was_made(door: Door, tmp_path: Path) -> None:
    await door.join(await door.token(), tmp_path)
    key = IdentityFolder(tmp_path).key
    assert key.stat().st_mode & 0o777 == 0o600
    secret = key.read_bytes().splitlines()[1]
    assert not [value for value in door.scheduler.stored()[1].values() if secret in value]


async def test_only_the_hash_of_a_secret_is_stored(door: Door) -> None:
    token = await door.token()
    for key, value in door.scheduler.stored()[1].items():
        assert token.secret.encode() not in key + value
        assert bytes.fromhex(token.secret) not in key + value
    listed = await door.scheduler.cluster.ListJoinTokens(join_token_pb2.ListJoinTokensRequest())
    assert token.secret not in str(listed)


async def test_the_certificate_lives_a_day_and_is_an_agents(door: Door, tmp_path: Path) -> None:
    member = await door.join(await door.token(), tmp_path)
    certificate = read_certificate(IdentityFolder(tmp_path).certificate)
    now = datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < certificate.not_valid_after_utc - now <= timedelta(days=1)
    assert timedelta(minutes=4) < now - certificate.not_valid_before_utc < timedelta(minutes=6)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    # A server only under the name by which scrapers know agents: never as a scheduler.
    assert set(usage) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [AGENT_NAME]
    assert identity_in(certificate) == Identity("default", "agent", member.instance)


async def test_a_token_is_used_once(door: Door, tmp_path: Path) -> None:
    token = await door.token()
    await door.join(token, tmp_path / "a")
    with pytest.raises(errors.Denied, match="used as often"):
        await door.join(token, tmp_path / "b")


async def test_who_asks_again_with_its_key_becomes_the_same(door: Door, tmp_path: Path) -> None:
    """The answer was lost on the way: all the host has is its key."""
    token = await door.token()
    first = await door.join(token, tmp_path)
    IdentityFolder(tmp_path).certificate.unlink()
    assert (await door.join(token, tmp_path)).instance == first.instance


async def test_a_member_stays_what_it_is(door: Door, tmp_path: Path, other_certificates: Certificates) -> None:
    first = await door.join(await door.token(), tmp_path)
    assert await door.join(await door.token(), tmp_path) == first
    other = Token.draw(other_certificates.authority.read_bytes())
    with pytest.raises(enter.AnotherAuthority, match="member of another cluster"):
        await door.join(other, tmp_path)


async def test_of_two_that_race_one_joins(door: Door, tmp_path: Path) -> None:
    token = await door.token()
    both = [door.join(token, tmp_path / name) for name in ("a", "b")]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["Denied", "Member"]


async def test_an_expired_token(door: Door, tmp_path: Path) -> None:
    token = await door.token(ttl_seconds=1)
    await asyncio.sleep(1.1)
    with pytest.raises(errors.Denied, match="has expired"):
        await door.join(token, tmp_path)


async def test_a_revoked_token(door: Door, tmp_path: Path) -> None:
    token = await door.token()
    (listed,) = (await door.scheduler.cluster.ListJoinTokens(join_token_pb2.ListJoinTokensRequest())).join_tokens
    await door.scheduler.cluster.RevokeJoinToken(join_token_pb2.RevokeJoinTokenRequest(id=listed.id))
    with pytest.raises(errors.Denied, match="revoked"):
        await door.join(token, tmp_path)


@pytest.mark.parametrize("role", ["operator", "scheduler", "etcd", "monitor", ""])
async def test_a_token_makes_nothing_but_its_role(door: Door, role: str) -> None:
    token = await door.token()
    with pytest.raises(errors.Denied, match="another role"):
        await door.post("/join", asked(token, role=role))
    await door.post("/join", asked(token))


async def test_a_token_of_another_role_is_not_made(door: Door) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await door.token(role="operator")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_names_in_a_request_are_not_taken(door: Door) -> None:
    names = (
        x509.UniformResourceIdentifier("shoal://default/operator/alice"),
        x509.DNSName("scheduler.shoal"),
        x509.DNSName("etcd.shoal"),
    )
    request = request_of(ec.generate_private_key(ec.SECP256R1()), *names, common_name="operator alice")
    answer = json.loads(await door.post("/join", asked(await door.token(), request=request)))
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    own = x509.UniformResourceIdentifier(f"shoal://default/agent/{answer['instance']}")
    assert list(found) == [own, x509.DNSName(AGENT_NAME)]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert "operator" not in certificate.subject.rfc4514_string()


@pytest.mark.parametrize("what", ["RSA", "P-384", "nothing", "noise", "forged", "a number"])
async def test_a_request_that_cannot_be_granted_uses_nothing(door: Door, what: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    forged = bytearray(x509.load_pem_x509_csr(request_of(key).encode()).public_bytes(serialization.Encoding.DER))
    forged[-1] ^= 1
    pem = x509.load_der_x509_csr(bytes(forged)).public_bytes(serialization.Encoding.PEM).decode()
    requests: dict[str, object] = {
        "RSA": request_of(rsa.generate_private_key(65537, 2048)),
        "P-384": request_of(ec.generate_private_key(ec.SECP384R1())),
        "nothing": "",
        "noise": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "forged": pem,
        "a number": 7,
    }
    token = await door.token()
    with pytest.raises(errors.Refused):
        await door.post("/join", asked(token, request=requests[what]))
    (kept,) = door.scheduler.plane.tables.join_tokens.values()
    assert kept.uses_left == 1


async def test_the_secret_is_not_told_to_another_authority(
    door: Door, other_certificates: Certificates, tmp_path: Path
) -> None:
    """Whoever stands between has an authority of its own."""
    async with Scheduler(other_certificates) as stranger:
        between = await open_door(stranger)
        token = await door.token()
        with pytest.raises(enter.AnotherAuthority, match="not the cluster that gave the token"):
            await between.join(token, tmp_path)
        await between.server.stop()
    assert not IdentityFolder(tmp_path).certificate.exists()


async def test_the_secret_is_not_told_to_who_only_shows_the_right_authority(
    door: Door, other_certificates: Certificates, tmp_path: Path
) -> None:
    """It passes the first question on, and has no certificate of that authority."""
    async with Scheduler(other_certificates) as stranger:
        between = await open_door(stranger)
        between.joining.authority_pem = door.joining.authority_pem
        token = await door.token()
        with pytest.raises(errors.Unreachable, match="no scheduler of this cluster"):
            await between.join(token, tmp_path)
        assert not between.joining._wrong._buckets  # nobody has asked to join
        await between.server.stop()


async def test_an_agents_certificate_is_no_schedulers(door: Door, tmp_path: Path) -> None:
    """A member that stands between other hosts and the scheduler learns nothing."""
    await door.join(await door.token(), tmp_path)
    names = read_certificate(IdentityFolder(tmp_path).certificate).extensions
    found = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == [AGENT_NAME] != [SERVER_NAME]


async def test_of_many_guesses_few_are_looked_at(door: Door) -> None:
    before = door.scheduler.stored()
    door.joining._wrong = RateLimit(0.001, 5, 10)
    guess: dict[str, object] = {
        "secret": "ab" * 32,
        "role": "agent",
        "request": request_of(ec.generate_private_key(ec.SECP256R1())),
    }
    kinds = []
    for _ in range(40):
        with pytest.raises(errors.Refused) as wrong:
            await door.post("/join", guess)
        kinds.append(type(wrong.value).__name__)
    assert kinds == ["Denied"] * 5 + ["LimitExceeded"] * 35
    assert door.scheduler.stored() == before


async def test_who_is_right_is_not_counted(door: Door) -> None:
    door.joining._wrong = RateLimit(0.001, 2, 10)
    token = await door.token(uses=6)
    for _ in range(6):
        await door.post("/join", asked(token))


async def test_a_scheduler_without_the_key_says_so(scheduler: Scheduler, tmp_path: Path) -> None:
    shut = await open_door(scheduler, with_key=False)
    with pytest.raises(errors.Refused, match="--authority-key"):
        await shut.join(await shut.token(), tmp_path)
    await shut.server.stop()


async def test_a_scheduler_that_does_not_lead_sends_to_another(
    door: Door, certificates: Certificates, tmp_path: Path
) -> None:
    token = await door.token()
    async with Scheduler(certificates) as follower:
        follower.gate.close()
        other = await open_door(follower)
        folder = IdentityFolder(tmp_path)
        endpoints = [other.endpoint, door.endpoint]
        member = await asyncio.to_thread(enter.join, endpoints, token, folder, 10.0)
        assert list(member.schedulers) == [follower.address, door.scheduler.address]
        await other.server.stop()
    with pytest.raises(errors.Unreachable):
        await asyncio.to_thread(enter.join, [other.endpoint], token, IdentityFolder(tmp_path / "b"))


# -- renewal -------------------------------------------------------------------------------------------------


def files_of(folder: Path) -> IdentityFiles:
    return IdentityFolder(folder).files


async def renewed(door: Door, folder: Path, *, run_out: bool) -> x509.Certificate:
    pem = await asyncio.to_thread(renew, files_of(folder), [door.endpoint], run_out=run_out)
    assert files_of(folder).certificate.read_bytes() == pem
    return x509.load_pem_x509_certificate(pem)


@pytest.mark.parametrize("run_out", [False, True], ids=["shown", "proven"])
async def test_a_certificate_is_renewed_for_the_same_key_and_name(door: Door, tmp_path: Path, run_out: bool) -> None:
    await door.join(await door.token(), tmp_path)
    old = read_certificate(files_of(tmp_path).certificate)
    new = await renewed(door, tmp_path, run_out=run_out)
    assert identity_in(new) == identity_in(old)
    assert new.public_key() == old.public_key()
    assert new.serial_number != old.serial_number


async def test_one_that_has_run_out_is_let_in_again(door: Door, tmp_path: Path) -> None:
    door.shift = -timedelta(days=30)
    member = await door.join(await door.token(), tmp_path)
    door.shift = timedelta()
    with pytest.raises(errors.Unreachable):  # the handshake does not take it
        await renewed(door, tmp_path, run_out=False)
    channel = door.channel(tmp_path)
    with pytest.raises(grpc.aio.AioRpcError):
        async with SimulatedAgent(channel, member.instance):
            raise AssertionError("a certificate that has run out has no session")
    await renewed(door, tmp_path, run_out=True)
    async with SimulatedAgent(door.channel(tmp_path), member.instance):
        assert list(door.scheduler.plane.tables.sessions) == [member.instance]


@pytest.mark.parametrize("run_out", [False, True], ids=["shown", "proven"])
async def test_a_revoked_identity_is_not_renewed(door: Door, tmp_path: Path, run_out: bool) -> None:
    member = await door.join(await door.token(), tmp_path)
    await revoke(door.scheduler, member.instance)
    with pytest.raises(errors.Denied, match="was revoked"):
        await renewed(door, tmp_path, run_out=run_out)


@pytest.mark.parametrize("wrong", ["key", "nonce", "old nonce", "authority", "operator", "signature"])
async def test_a_proof_that_is_none(
    door: Door, tmp_path: Path, certificates: Certificates, other_certificates: Certificates, wrong: str
) -> None:
    await door.join(await door.token(), tmp_path)
    files, key_file = files_of(tmp_path), files_of(tmp_path).key
    certificate = files.certificate
    nonce = door.joining._nonces.draw(time.time())
    if wrong == "authority":
        certificate, key_file = (other := other_certificates.files("agent", "1f" * 16)).certificate, other.key
    if wrong == "operator":
        certificate, key_file = (other := certificates.files("operator", "alice")).certificate, other.key
    if wrong == "nonce":
        nonce = joining.Nonces(b"another scheduler's").draw(time.time())
    if wrong == "old nonce":
        nonce = door.joining._nonces.draw(time.time() - 61)
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    if wrong == "key":
        key = ec.generate_private_key(ec.SECP256R1())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    said = b"something else" if wrong == "signature" else proof_of(nonce)
    signature = key.sign(said, ec.ECDSA(hashes.SHA256())).hex()
    with pytest.raises(errors.Denied):
        await door.post("/renew", {"certificate": certificate.read_text(), "nonce": nonce, "signature": signature})


async def test_an_operators_certificate_is_not_renewed(door: Door, certificates: Certificates) -> None:
    with pytest.raises(errors.Denied, match="of an agent"):
        await door.post("/renew", {}, certificates.files("operator", "alice").certificate)


@pytest.mark.parametrize("nonce", ["", ".", "..", "x.y.z", "1.2.", "é"])
async def test_what_is_no_nonce(nonce: str) -> None:
    assert not joining.Nonces(b"key").is_ours(nonce, 0.0)


# -- revocation ----------------------------------------------------------------------------------------------


async def revoke(scheduler: Scheduler, instance: str) -> container_instance_pb2.ContainerInstance:
    request = join_token_pb2.RevokeContainerInstanceRequest(container_instance=instance)
    return (await scheduler.cluster.RevokeContainerInstance(request)).container_instance


async def test_revocation_cuts_the_session_at_once_and_for_good(door: Door, tmp_path: Path) -> None:
    member = await door.join(await door.token(), tmp_path)
    channel = door.channel(tmp_path)
    agent = SimulatedAgent(channel, member.instance)
    async with agent:
        began = time.monotonic()
        answer = await revoke(door.scheduler, member.instance)
        assert await agent.call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert time.monotonic() - began < 1
        assert answer.identity_revoked_by == "alice"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async with SimulatedAgent(channel, member.instance, incarnation=2):
            raise AssertionError("a revoked identity has no session")
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert (await door.scheduler.reloaded()).instances[member.instance].revoked_by == "alice"


async def test_an_authority_is_known_by_its_pin(certificates: Certificates, other_certificates: Certificates) -> None:
    pins = {pin_of(each.authority.read_bytes()) for each in (certificates, other_certificates)}
    assert len(pins) == 2
    assert Token.draw(certificates.authority.read_bytes()).pin in pins
    assert ensure_authority(certificates.folder, "default", datetime.now(UTC)).path == certificates.authority


async def test_a_session_lasts_no_longer_than_its_certificate(door: Door, tmp_path: Path) -> None:
    door.joining.life = timedelta(seconds=3)
    member = await door.join(await door.token(), tmp_path)
    async with SimulatedAgent(door.channel(tmp_path), member.instance) as agent:
        request = container_instance_pb2.DescribeContainerInstancesRequest(container_instances=[member.instance])
        (described,) = (await door.scheduler.cluster.DescribeContainerInstances(request)).container_instances
        assert 0 < described.certificate_expires_at / 1000 - time.time() <= 3
        async with asyncio.timeout(10):
            assert await agent.call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "run out" in (await agent.call.details() or "")
