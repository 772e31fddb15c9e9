"""Tokens that nobody gave: whatever they claim, they are for nothing, and the answer says where to get a good one."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from shoal_registry.names import Repository
from shoal_registry.rights import signing_key, tokens
from shoal_registry.rights.callers import STRANGER
from shoal_registry.rights.policy import Action
from shoal_registry.rights.tokens import Signer

from tests.ground.certificates import Certificates
from tests.ground.image_registry import ImageRegistry
from tests.registry.client import Client, digest_of
from tests.registry.rights.conftest import AccountFactory, tls_of, token

Claims = dict[str, Any]
Forge = Callable[[Signer, Claims], str]


def encoded(part: Mapping[str, Any] | bytes) -> str:
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(signer: Signer, claims: Claims, key: Any = None, algorithm: str = "EdDSA", **header: Any) -> str:
    return jwt.encode(claims, key or signer.key, algorithm, {"kid": signer.key_id, **header})


def public_pem(signer: Signer) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return signer.key.public_key().public_bytes(encoding, form)


def unsigned(signer: Signer, claims: Claims) -> str:
    header = {"alg": "none", "typ": "JWT", "kid": signer.key_id}
    return f"{encoded(header)}.{encoded(claims)}."


def with_own_key(signer: Signer, claims: Claims) -> str:
    """A header that brings the key to verify with."""
    key = Ed25519PrivateKey.generate()
    jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key()))
    return signed(signer, claims, key, jwk={**jwk, "kid": signer.key_id})


def with_public_key_as_secret(signer: Signer, claims: Claims) -> str:
    """HS256, by a key that everybody may know."""
    header = {"alg": "HS256", "typ": "JWT", "kid": signer.key_id}
    message = f"{encoded(header)}.{encoded(claims)}"
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{message}.{encoded(algorithm.sign(message.encode(), public_pem(signer)))}"


def with_more_rights(signer: Signer, claims: Claims) -> str:
    """Signed for less than it says."""
    header, _, signature = signed(signer, {**claims, "access": []}).split(".")
    return f"{header}.{encoded(claims)}.{signature}"


FORGERIES: Mapping[str, Forge] = {
    "unsigned": unsigned,
    "another key": lambda signer, claims: signed(signer, claims, Ed25519PrivateKey.generate()),
    "its own key": with_own_key,
    "a key elsewhere": lambda signer, claims: signed(signer, claims, jku="https://127.0.0.1:1/keys"),
    "a certificate of its own": lambda signer, claims: signed(signer, claims, x5c=["eA=="]),
    "an unknown key's name": lambda signer, claims: signed(signer, claims, kid="../../etc/passwd"),
    "no key's name": lambda signer, claims: jwt.encode(claims, signer.key, "EdDSA"),
    "the public key as a secret": with_public_key_as_secret,
    "more rights than were signed": with_more_rights,
    "expired": lambda signer, claims: signed(signer, {**claims, "exp": int(time.time()) - 60}),
    "to come": lambda signer, claims: signed(signer, {**claims, "nbf": int(time.time()) + 60}),
    "issued in the future": lambda signer, claims: signed(signer, {**claims, "iat": int(time.time()) + 60}),
    "for another service": lambda signer, claims: signed(signer, {**claims, "aud": "elsewhere"}),
    "for several services": lambda signer, claims: signed(signer, {**claims, "aud": ["elsewhere", claims["aud"]]}),
    "by another issuer": lambda signer, claims: signed(signer, {**claims, "iss": "elsewhere"}),
    "for ever": lambda signer, claims: signed(signer, {k: v for k, v in claims.items() if k != "exp"}),
    "for another use": lambda signer, claims: signed(signer, {**claims, "use": "refresh"}),
    "no token": lambda signer, claims: "x",
    "nothing": lambda signer, claims: "",
    "three dots": lambda signer, claims: "...",
    "no JSON": lambda signer, claims: f"{encoded(b'{')}.{encoded(b'{')}.{encoded(b'x')}",
    "a header that is no object": lambda signer, claims: f"{encoded(b'[]')}.{encoded(claims)}.{encoded(b'x')}",
    "nested without end": lambda signer, claims: f"{encoded(b'[' * 8_000)}.{encoded(claims)}.{encoded(b'x')}",
    "without end": lambda signer, claims: "a" * 15_000,
}


@pytest.fixture
def signer(closed_registry: ImageRegistry) -> Signer:
    """The registry's own: what a forger does not have."""
    return signing_key.load(closed_registry.folder / "tls" / "token.key")


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_forgeries(stranger: Client, operator: Client, signer: Signer, forgery: str) -> None:
    repository = stranger.repository
    await operator.push_image("v1", b"layer")
    claims = jwt.decode(await token(operator, f"repository:{repository}:pull"), options={"verify_signature": False})
    good = stranger.bearer(signed(signer, claims))
    assert (await good.call("GET", "manifests/v1")).status == 200, "but for the forgery it is good"
    forged = stranger.bearer(FORGERIES[forgery](signer, claims))
    for path in ("manifests/v1", "/v2/", "/accounts", "/token"):
        answer = await forged.call("GET", path)
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
        assert answer.headers["WWW-Authenticate"].startswith(f'Bearer realm="{stranger.url}/token",service=')
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@given(st.text(max_size=300) | st.lists(st.binary(max_size=60), min_size=3, max_size=3))
def test_whatever_text_is_no_token(text: str | list[bytes]) -> None:
    signer = Signer(Ed25519PrivateKey.generate(), "key")
    token = text if isinstance(text, str) else ".".join(encoded(part) for part in text)
    for read in (tokens.read_access, tokens.read_refresh):
        with pytest.raises(tokens.InvalidTokenError):
            read(signer, token)


async def test_bytes_that_are_no_text(closed_registry: ImageRegistry) -> None:
    """In the header, and in what Basic holds."""
    for said in (b"Bearer \xff\xfe.\x80.a", b"Basic " + base64.b64encode(b"\xff:\xff"), b"\xff"):
        reader, writer = await asyncio.open_connection("127.0.0.1", closed_registry.port, ssl=closed_registry.tls())
        writer.write(b'GET /v2/ HTTP/1.1\r\nHost: \xff"x\r\nAuthorization: ' + said + b"\r\nConnection: close\r\n\r\n")
        status, _, rest = (await reader.read()).partition(b"\r\n")
        assert status.split()[1] in (b"400", b"401")
        assert b'"x' not in rest, "nothing of it is said again"
        writer.close()


async def test_a_refresh_token_is_no_access_token_and_the_other_way_round(
    account: AccountFactory, stranger: Client
) -> None:
    caller = await account("*", "pull")
    answer = await caller.call("GET", "/token", offline_token="true")
    assert (await stranger.bearer(answer.json["refresh_token"]).call("GET", "/v2/")).status == 401
    form = {"grant_type": "refresh_token", "refresh_token": answer.json["token"]}
    assert (await stranger.call("POST", "/token", form)).status == 401


async def test_what_one_logs_in_by_ends(account: AccountFactory, operator: Client, stranger: Client) -> None:
    """It pushes and pulls as its bearer, for twelve hours; gets nothing that lasts longer, and changes no settings."""
    for bearer in (operator, await account(stranger.repository, "pull", "push")):
        answer = await bearer.call("POST", "/ecr/GetAuthorizationToken", b"{}")
        name, password = base64.b64decode(answer.json["authorizationData"][0]["authorizationToken"]).decode().split(":")
        caller = stranger.basic(name, password)
        scope = f"repository:{stranger.repository}:pull,push"
        given = await caller.call("GET", "/token", scope=scope, offline_token="true")
        assert (given.json["scope"], "refresh_token" in given.json) == (scope, False)
        form = {"grant_type": "password", "username": name, "password": password, "access_type": "offline"}
        assert "refresh_token" not in (await stranger.call("POST", "/token", form)).json
        assert (await caller.call("POST", "blobs/uploads/")).status == 202
        assert (await caller.call("GET", "/accounts")).status == 403
        refused = await caller.call("POST", "/ecr/GetAuthorizationToken", b"{}")
        assert refused.json["__type"] == "AccessDeniedException"


async def test_a_token_gets_no_other_one(account: AccountFactory, stranger: Client) -> None:
    """Or five minutes would be for ever."""
    caller = stranger.bearer(await token(await account("*", "pull"), f"repository:{stranger.repository}:pull"))
    assert (await caller.call("GET", "/token", scope=f"repository:{stranger.repository}:pull")).codes == ["DENIED"]
    assert (await caller.call("POST", "/ecr/GetAuthorizationToken", b"{}")).json["__type"] == "AccessDeniedException"


def test_one_key_for_all_processes(tmp_path: Path) -> None:
    """Whoever is first makes it; the others find that one, whole."""
    path = tmp_path / "keys" / "token.key"
    path.parent.mkdir()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: signing_key.load(path).key_id, range(64)))
    assert len(set(found)) == 1
    assert [each.name for each in path.parent.iterdir()] == ["token.key"]
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("x")
    with pytest.raises(ValueError, match="PEM"):
        signing_key.load(path)


def test_a_token_is_good_for_five_minutes(tmp_path: Path) -> None:
    signer = signing_key.load(tmp_path / "token.key")
    now = int(time.time())
    may_pull: dict[Repository, frozenset[Action]] = {Repository("a"): frozenset({"pull"})}
    for age_seconds, is_good in ((0, True), (290, True), (320, False)):
        made = tokens.access(signer, STRANGER, may_pull, now - age_seconds)
        if is_good:
            assert tokens.read_access(signer, made)[0].granted == {"a": may_pull[Repository("a")]}
        else:
            with pytest.raises(tokens.InvalidTokenError, match="expired"):
                tokens.read_access(signer, made)


FORMS: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"grant_type=authorization_code", 400),
    (b"grant_type=password&grant_type=password", 400),
    (b"grant_type=password", 401),
    (b"grant_type=password&username=a&password=b&service=elsewhere", 400),
    (b"grant_type=refresh_token", 401),
    (b"grant_type=refresh_token&refresh_token=x", 401),
    (b"%ff%fe", 400),
    (b"&" * 1000, 400),
    (b"a=" + b"x" * 100_000, 413),
]


@pytest.mark.parametrize(("form", "status"), FORMS, ids=lambda value: str(value)[:40])
async def test_forms(stranger: Client, form: bytes, status: int) -> None:
    answer = await stranger.call("POST", "/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == status
    assert answer.codes


async def test_both_ways_to_a_token(account: AccountFactory, stranger: Client) -> None:
    """GET with Basic, and the form by password and by refresh token: each may what was asked and is allowed."""
    caller = await account(stranger.repository, "pull", "push")
    name, secret = base64.b64decode(caller.authorization.split()[1]).decode().split(":")
    scope = f"repository:{stranger.repository}:pull,push repository:other:pull"
    password = {"grant_type": "password", "username": name, "password": secret, "access_type": "offline"}
    by_password = await stranger.call("POST", "/token", {**password, "scope": scope, "service": tokens.SERVICE})
    refresh = {"grant_type": "refresh_token", "refresh_token": by_password.json["refresh_token"], "scope": scope}
    by_refresh = await stranger.call("POST", "/token", refresh)
    by_header = await caller.call("GET", "/token", scope=scope, service=tokens.SERVICE)
    for answer in (by_password, by_refresh, by_header):
        assert answer.json["scope"] == f"repository:{stranger.repository}:pull,push"
        assert (answer.json["expires_in"], answer.headers["Cache-Control"]) == (300, "no-store")
        bearer = stranger.bearer(answer.json["access_token"])
        assert (await bearer.call("POST", "blobs/uploads/")).status == 202
        denied = await bearer.of("other").call("GET", f"blobs/{digest_of(b'')}")
        assert (denied.status, denied.codes) == (401, ["DENIED"])
        assert denied.headers["WWW-Authenticate"].endswith('scope="repository:other:pull",error="insufficient_scope"')
    assert "refresh_token" not in by_header.json, "nobody asked for one"


async def test_a_refresh_token_ends_with_its_secret_and_its_account(
    account: AccountFactory, operator: Client, stranger: Client
) -> None:
    async def refreshed() -> int:
        form = {"grant_type": "refresh_token", "refresh_token": offline.json["refresh_token"]}
        return (await stranger.call("POST", "/token", form)).status

    caller = await account("*", "pull")
    name = base64.b64decode(caller.authorization.split()[1]).decode().split(":")[0]
    offline = await caller.call("GET", "/token", offline_token="true")
    assert await refreshed() == 200
    await operator.call("PATCH", f"/accounts/{name}", json.dumps({"disabled": True}))
    assert await refreshed() == 401
    await operator.call("PATCH", f"/accounts/{name}", json.dumps({"disabled": False}))
    assert await refreshed() == 200
    secret = (await operator.call("POST", f"/accounts/{name}/secret")).json["secret"]
    assert await refreshed() == 401
    offline = await stranger.basic(name, secret).call("GET", "/token", offline_token="true")
    await operator.call("DELETE", f"/accounts/{name}")
    assert await refreshed() == 401


async def test_workers_know_each_others_tokens(certificates: Certificates, tmp_path: Path) -> None:
    """Started at once, without a key: one of them makes it, for all."""
    registry = ImageRegistry(tmp_path, certificates, ("--workers", "3"), is_open=False)
    await asyncio.to_thread(registry.start)
    try:
        # A connection for each call, so that each may be answered by another process.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            operator = Client(session, registry.url, tls_of(registry, "operator", "ann"), "a")
            stranger = Client(session, registry.url, registry.tls(), "a")
            for _ in range(10):
                bearer = stranger.bearer(await token(operator, "repository:a:pull"))
                for _ in range(3):
                    assert (await bearer.call("GET", "tags/list")).codes == ["NAME_UNKNOWN"]
    finally:
        await asyncio.to_thread(registry.end)
