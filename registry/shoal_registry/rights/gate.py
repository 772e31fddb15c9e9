"""Where a request is asked who sends it, and whether they may. Every way to be somebody ends here."""

import asyncio
import base64
import binascii
import hmac
import logging
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from aiohttp import web
from shoal.rpc import Identity

from shoal_registry.errors import Refused
from shoal_registry.names import Repository
from shoal_registry.rights import scopes, tokens
from shoal_registry.rights.accounts import Account, Hash, parse_name
from shoal_registry.rights.attempts import RETRY_AFTER_SECONDS, Attempts, origin
from shoal_registry.rights.callers import STRANGER, UNASKED, Caller, Need, Role, may, may_administer
from shoal_registry.rights.directory import Directory
from shoal_registry.rights.policies import Policies
from shoal_registry.rights.policy import Action
from shoal_registry.rights.tokens import InvalidTokenError, Signer

log = logging.getLogger(__name__)
K = TypeVar("K")
V = TypeVar("V")

# Roles of the cluster's certificates that are somebody here.
ROLES: Mapping[str, Role] = {"operator": "operator", "agent": "agent"}
# As which a refresh token is given as a password: so ECR calls whoever has one.
TOKEN_BEARER = "AWS"
# Each takes 16 MiB.
HASHES_AT_ONCE = 2
REMEMBERED_MAX = 10_000
_HOST = re.compile(r"[A-Za-z0-9.\-]+(?::[0-9]+)?|\[[0-9A-Fa-f:.]+\](?::[0-9]+)?")


class Gate:
    """`signer`: None if nobody is asked who they are; whoever calls may do everything then."""

    def __init__(self, directory: Directory, policies: Policies, signer: Signer | None, process_key: bytes) -> None:
        self.directory = directory
        self.policies = policies
        self._signer = signer
        self._process_key = process_key
        self._attempts = Attempts()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._tokens: dict[str, tuple[Caller, int]] = {}
        # Of secrets that were right: hashing them anew for every request would take longer than the request.
        self._proven: dict[bytes, str] = {}

    @property
    def signer(self) -> Signer:
        if self._signer is None:
            raise Refused("UNSUPPORTED", "This registry asks nobody who they are: it needs no tokens.", status=404)
        return self._signer

    async def caller(self, request: web.Request) -> Caller:
        """Raises Refused if somebody claims to be who they are not."""
        if self._signer is None:
            return UNASKED
        header = request.headers.getall("Authorization", [])
        if not header:
            return _certified(request)
        scheme, _, given = header[0].partition(" ")
        if len(header) == 1 and scheme.lower() == "bearer":
            return self._bearer(given.strip(), request)
        if len(header) == 1 and scheme.lower() == "basic":
            name, secret = _basic(given.strip())
            return await self.login(name, secret, request)
        raise _unauthorized(request, "Authorization has to be Basic or Bearer.")

    async def login(self, name: str, secret: str, request: web.Request) -> Caller:
        """Who has that name and secret. Raises Refused."""
        if name == TOKEN_BEARER:
            return await self.refreshed(secret, request)
        address, now = origin(request.remote or ""), time.monotonic()
        account = await self._find(name)
        # Of what could be no account's name, not all is kept.
        tried = name[:64]
        proof = hmac.digest(self._process_key, f"{name}\0{secret}".encode(), "sha256")
        if account is None or self._proven.get(proof) != account.secret.mark:
            if not self._attempts.begin(tried, address, now):
                raise Refused(
                    "TOOMANYREQUESTS",
                    f"Too many failed logins: try again in {RETRY_AFTER_SECONDS} seconds.",
                    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
                )
            if not await self._proves(account, secret) or account is None:
                log.warning("a login failed account=%s address=%s", name[:64].encode(), address)
                raise _unauthorized(request, "There is no such account, or its secret is another one.")
            self._attempts.succeeded(tried, address, now)
            _remember(self._proven, proof, account.secret.mark)
        return replace(_of_account(account, request), in_person=True)

    async def refreshed(self, token: str, request: web.Request) -> Caller:
        """Whose refresh token that is, unless its account has changed its secret. Raises Refused."""
        try:
            found = tokens.read_refresh(self.signer, token)
        except InvalidTokenError as error:
            raise _unauthorized(request, f"This token is good for nothing: {error}.") from None
        if found.role != "account":
            return Caller(found.role, found.name, granted=found.granted)
        account = await self._find(found.name)
        if account is None or found.secret_mark != account.secret.mark:
            raise _unauthorized(request, "The account of this token is gone, or has another secret: log in again.")
        return _of_account(account, request)

    async def refresh_token(self, caller: Caller, life_seconds: int) -> str:
        """By which its bearer is that caller for a while. Raises Refused: no token is given for a token."""
        if not caller.in_person:
            raise Refused("DENIED", "A token gets none: send the account's name and secret, or a certificate.")
        account = await self.directory.find(caller.name) if caller.role == "account" else None
        mark = account.secret.mark if account else None
        return tokens.refresh(self.signer, caller, mark, int(time.time()), life_seconds)

    async def may(self, caller: Caller, action: Action, repository: Repository) -> bool:
        # What tokens and operators may is known without.
        asks_policy = caller.granted is None and caller.role != "operator"
        return may(caller, action, repository, await self.policies.find(repository) if asks_policy else None)

    async def demand(self, request: web.Request, caller: Caller, need: Need, repository: Repository | None) -> None:
        """Raises Refused, in the same words whether there is such a repository or not."""
        if need == "nothing":
            return
        if need == "admin":
            allowed = may_administer(caller)
        elif need == "identity":
            allowed = caller is not STRANGER
        else:
            assert repository is not None, "nobody pulls, pushes or deletes nothing"
            allowed = await self.may(caller, need, repository)
        if not allowed:
            raise _denied(request, caller, need, repository)

    async def _find(self, name: str) -> Account | None:
        try:
            return await self.directory.find(parse_name(name))
        except Refused:
            return None

    async def _proves(self, account: Account | None, secret: str) -> bool:
        """Takes as long for an account that there is not."""
        async with self._hashing:
            if account is None:
                await asyncio.to_thread(Hash.of, secret, self._process_key)
                return False
            return await asyncio.to_thread(account.secret.is_of, secret)

    def _bearer(self, token: str, request: web.Request) -> Caller:
        found = self._tokens.get(token)
        if found is None:
            try:
                found = tokens.read_access(self.signer, token)
            except InvalidTokenError as error:
                raise _unauthorized(request, f"This token is good for nothing: {error}.", "invalid_token") from None
            _remember(self._tokens, token, found)
        caller, expires_at = found
        if time.time() >= expires_at + tokens.LEEWAY_SECONDS:
            raise _unauthorized(request, "This token has expired.", "invalid_token")
        return caller


def _certified(request: web.Request) -> Caller:
    """By the certificate that the connection was opened with, while it is good."""
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    if not certificate or ssl.cert_time_to_seconds(certificate["notAfter"]) <= time.time():
        return STRANGER
    uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    identity = Identity.parse(uris[0]) if len(uris) == 1 else None
    if identity is None or identity.role not in ROLES:
        return STRANGER
    return Caller(ROLES[identity.role], f"{identity.role}/{identity.name}", in_person=True)


def _of_account(account: Account, request: web.Request) -> Caller:
    if not account.is_good(time.time()):
        raise _unauthorized(request, "This account is disabled, or has expired.")
    return Caller("account", account.name, account.rights)


def _basic(given: str) -> tuple[str, str]:
    """Name and secret; empty if it holds none, which is nobody's."""
    try:
        name, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, secret


def _denied(request: web.Request, caller: Caller, need: Need, repository: Repository | None) -> Refused:
    """Who could ask for a (better) token is told where; it is for the token's giver to say no."""
    whole = scopes.needed(need, repository)
    if caller is STRANGER:
        return _unauthorized(request, "Say who you are: log in, or show a client certificate.", None, whole)
    if caller.granted is not None:
        return _unauthorized(request, "This token is not for that.", "insufficient_scope", whole, code_denied=True)
    what = f"{need} {repository.name}" if repository else "do that"
    return Refused("DENIED", f"{caller.name} may not {what}.")


def _unauthorized(
    request: web.Request, message: str, error: str | None = None, scope: str | None = None, code_denied: bool = False
) -> Refused:
    # The caller's own word for us: it was verified by the certificate that it accepted.
    host = request.host if _HOST.fullmatch(request.host) else "localhost"
    said = {"realm": f"https://{host}/token", "service": tokens.SERVICE, "scope": scope, "error": error}
    challenge = "Bearer " + ",".join(f'{name}="{value}"' for name, value in said.items() if value)
    return Refused(
        "DENIED" if code_denied else "UNAUTHORIZED", message, status=401, headers={"WWW-Authenticate": challenge}
    )


def _remember(remembered: dict[K, V], key: K, value: V) -> None:
    if len(remembered) >= REMEMBERED_MAX:
        remembered.clear()
    remembered[key] = value
