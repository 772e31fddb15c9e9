"""Who shows who they are, by a secret or a certificate, and who only tries to."""

import asyncio
import base64
import doctest
import json
import shutil
import ssl
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from shoal.certificates import ensure_authority, ensure_certificate
from shoal.rpc import Identity
from shoal_registry.rights import attempts
from shoal_registry.rights.accounts import Account, Hash
from shoal_registry.rights.attempts import Attempts
from shoal_registry.rights.callers import Right
from shoal_registry.rights.patterns import Pattern

from tests.ground.image_registry import ImageRegistry
from tests.registry.client import Client
from tests.registry.conftest import RegistryFactory
from tests.registry.rights.conftest import AccountFactory, tls_of

GUESSES = 10_000
WRONG, TOO_MANY = (
    json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    for code, message in (
        ("UNAUTHORIZED", "There is no such account, or its secret is another one."),
        ("TOOMANYREQUESTS", "Too many failed logins: try again in 12 seconds."),
    )
)
MANY = pytest.param(True, GUESSES, marks=pytest.mark.slow)


def test_guesses_are_few() -> None:
    """10,000 of them, in an hour and by one address: 5, and 5 a minute."""
    limit, tried = Attempts(), 0
    for number in range(GUESSES):
        tried += limit.begin("ci", "10.0.0.1", number * 3600 / GUESSES)
    assert 300 <= tried <= 305
    assert limit.begin("ci", "10.0.0.2", 3600.0), "the right one, from elsewhere, is not kept out"


def test_whose_addresses_they_are() -> None:
    assert doctest.testmod(attempts).failed == 0


def test_guesses_at_many_accounts_are_few() -> None:
    limit = Attempts()
    tried = sum(limit.begin(f"account-{number}", "10.0.0.1", 0.0) for number in range(GUESSES))
    assert tried == attempts.PER_MINUTE_OF_ADDRESS


def test_who_succeeds_is_not_counted() -> None:
    limit = Attempts()
    for _ in range(GUESSES):
        assert limit.begin("ci", "10.0.0.1", 0.0)
        limit.succeeded("ci", "10.0.0.1", 0.0)


@pytest.mark.parametrize(("known", "guesses"), [(True, 1_000), (False, 100), MANY])
async def test_guessing(account: AccountFactory, stranger: Client, known: bool, guesses: int) -> None:
    """A handful of guesses are looked at, the others told to come later; the answers do not tell whether there is such
    an account. Who is logged in goes on."""
    caller = await account(stranger.repository, "pull")
    name = base64.b64decode(caller.authorization.split()[1]).decode().split(":")[0]
    assert (await caller.call("GET", "tags/list")).codes == ["NAME_UNKNOWN"]
    guessed, begun = name if known else "nobody", time.monotonic()
    said: Counter[tuple[int, bytes]] = Counter()

    async def guess(number: int) -> None:
        answer = await stranger.basic(guessed, f"{number:064x}").call("GET", "/v2/")
        said[answer.status, answer.body] += 1
        if answer.status == 429:
            assert answer.headers["Retry-After"] == "12"

    for first in range(0, guesses, 100):
        await asyncio.gather(*(guess(number) for number in range(first, first + 100)))
    by_status = Counter({status: count for (status, _), count in said.items()})
    assert set(by_status) == {401, 429}
    assert set(said) == {(401, WRONG), (429, TOO_MANY)}
    assert by_status[401] <= attempts.PER_MINUTE * (1 + (time.monotonic() - begun) / 60) + 1
    assert (await caller.call("GET", "tags/list")).codes == ["NAME_UNKNOWN"]


@pytest.mark.parametrize("header", ["Basic", "Basic x", "Basic !!!", "Basic OnNlY3JldA==", "Digest a", "Bearer", ""])
async def test_no_credentials(stranger: Client, header: str) -> None:
    for path in ("/v2/", "/token"):
        answer = await stranger.call("GET", path, headers={"Authorization": header})
        assert answer.status in (401, 429)


async def test_an_account_that_is_over(account: AccountFactory, operator: Client) -> None:
    """Disabled, expired, deleted: at once, also for who was let in a moment ago."""
    caller = await account("*", "pull", expiresAt=int(time.time()) + 10_000)
    path = f"/accounts/{base64.b64decode(caller.authorization.split()[1]).decode().split(':')[0]}"

    async def status() -> int:
        return (await caller.call("GET", "/v2/")).status

    assert await status() == 200
    await operator.call("PATCH", path, json.dumps({"disabled": True}))
    assert await status() == 401
    await operator.call("PATCH", path, json.dumps({"disabled": False}))
    assert await status() == 200
    await operator.call("DELETE", path)
    assert await status() in (401, 429)


def test_an_account_expires() -> None:
    account = Account("a", "user", [], Hash(b"", b""), 0, "x", expires_at=100)
    assert account.is_good(99)
    assert not account.is_good(100)


def test_an_account_as_it_is_kept() -> None:
    """Nothing of its secret is told to anybody, and none of it is in the file."""
    hashed = Hash.of("the secret", b"salt")
    right = Right(Pattern.parse("team/*"), frozenset({"push"}))
    account = Account("ci", "robot", [right], hashed, 1, "operator/ann", True, 2)
    assert Account.load(account.stored()) == account
    assert b"the secret" not in account.stored()
    assert hashed.hash.hex() not in json.dumps(account.document())
    assert hashed.is_of("the secret") and not hashed.is_of("the secre")


_TO_PULL = [{"repositories": "*", "actions": ["pull"]}]
ACCOUNTS = [
    "[]",
    "{",
    "{}",
    *(json.dumps({"name": name}) for name in ("", "..", "a/b", "A", "-a", "a" * 65, "a\n", 7, None)),
    *(json.dumps({"name": "a", **fields}) for fields in ({"secret": "mine"}, {"kind": "admin"}, {"expiresAt": 1})),
    *(json.dumps({"name": "a", "expiresAt": at}) for at in ("tomorrow", True, 2**50)),
    *(
        json.dumps({"name": "a", "rights": rights})
        for rights in (
            "*",
            ["*"],
            [{"repositories": "*"}],
            [{"repositories": "*", "actions": []}],
            [{"repositories": "*", "actions": ["admin"]}],
            [{"repositories": "*", "actions": "pull"}],
            [{"repositories": "A*", "actions": ["pull"]}],
            [{"repositories": "[a-z]", "actions": ["pull"]}],
            [{"repositories": "*", "actions": ["pull"], "until": 1}],
            _TO_PULL * 101,
        )
    ),
]


@pytest.mark.parametrize("document", ACCOUNTS)
async def test_no_accounts(operator: Client, closed_registry: ImageRegistry, document: str) -> None:
    answer = await operator.call("POST", "/accounts", document)
    assert answer.status == 400
    assert "a" not in [each.name for each in closed_registry.store.glob("accounts/*")]


async def test_what_is_in_the_way_of_an_account(operator: Client, account: AccountFactory) -> None:
    caller = await account("*", "pull")
    name = base64.b64decode(caller.authorization.split()[1]).decode().split(":")[0]
    assert (await operator.call("POST", "/accounts", json.dumps({"name": name}))).status == 409
    assert (await caller.call("GET", "/v2/")).status == 200, "its secret is what it was"
    for method, path in (("PATCH", "/accounts/gone"), ("DELETE", "/accounts/gone"), ("POST", "/accounts/gone/secret")):
        assert (await operator.call(method, path, b"{}")).status == 404
    assert (await operator.call("PATCH", f"/accounts/{name}", b'{"disabled": 1}')).status == 400


@pytest.mark.parametrize("role", ["scheduler", "registry", "monitor", "etcd"])
async def test_certificates_of_others(closed_registry: ImageRegistry, stranger: Client, role: str) -> None:
    """They are of the cluster, but nobody here."""
    caller = replace(stranger, tls=tls_of(closed_registry, role, "x"))
    assert (await caller.call("GET", "/v2/")).status == 401


async def test_certificates_that_are_not_good(closed_registry: ImageRegistry, stranger: Client, tmp_path: Path) -> None:
    """Expired, or of another authority: the connection ends at the handshake."""
    certificates, now = closed_registry.certificates, datetime.now(UTC)
    ann = Identity("default", "operator", "ann")
    authority = ensure_authority(certificates.folder, "default", now)
    expired = ensure_certificate(authority, tmp_path / "expired", "x", ann, now - timedelta(days=700))
    foreign = ensure_certificate(
        ensure_authority(tmp_path / "authority", "default", now), tmp_path / "foreign", "x", ann, now
    )
    for issued in (expired, foreign):
        tls = closed_registry.tls()
        tls.load_cert_chain(issued.certificate, issued.key)
        with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):
            await replace(stranger, tls=tls).call("GET", "/v2/")


async def test_an_open_registry(registry_factory: RegistryFactory) -> None:
    """Takes anybody, and gives no tokens."""
    registry = registry_factory()
    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "a")
        assert (await client.basic("a", "b").call("GET", "/v2/")).status == 200
        assert (await client.call("GET", "/token")).status == 404


def test_a_key_in_the_store_is_refused(closed_registry: ImageRegistry, tmp_path: Path) -> None:
    shutil.copytree(closed_registry.folder / "tls", tmp_path / "registry" / "tls")
    registry = ImageRegistry(
        tmp_path / "registry", closed_registry.certificates, ("--token-key", str(tmp_path / "registry/store/key"))
    )
    with pytest.raises(Exception, match="lies in the store"):
        registry.start()
