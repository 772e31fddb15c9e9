"""Tokens: what their bearers are, signed, so that no process has to remember any.

An access token is for certain repositories, for five minutes. A refresh token gets further ones and nothing else. It is
what `docker login` keeps instead of a secret, and goes with it; or what an agent hands to its engine for one pull,
which may last longer than an access token: that one is for the pull's repository alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal_registry.names import Repository
from shoal_registry.rights.callers import ACTIONS, Caller, Role
from shoal_registry.rights.policy import Action

SERVICE = "shoal-registry"
ACCESS_SECONDS = 300
# As long as a certificate. An account's goes before, with its secret or with the account.
REFRESH_SECONDS = 365 * 24 * 3600
# As ECR's authorization tokens.
LOGIN_SECONDS = 12 * 3600
# Of registries on several machines, whose clocks differ a little.
LEEWAY_SECONDS = 10
TOKEN_CHARACTERS_MAX = 12_000

Granted: TypeAlias = Mapping[Repository, frozenset[Action]]
Use: TypeAlias = Literal["access", "refresh"]
_ALGORITHM = "EdDSA"
_CLAIMS = ("iss", "aud", "sub", "iat", "nbf", "exp", "use", "role")


class InvalidTokenError(Exception):
    """Says why, for the log of its bearer."""


@dataclass(frozen=True, slots=True)
class Signer:
    """`key_id` names the key in each token's header; no other is known."""

    key: Ed25519PrivateKey
    key_id: str


@dataclass(frozen=True, slots=True)
class Refresh:
    """`secret_mark`: of the secret that an account had when it logged in."""

    role: Role
    name: str
    secret_mark: str | None
    expires_at: int
    granted: Mapping[str, frozenset[Action]] | None = None


def access(signer: Signer, caller: Caller, granted: Granted, now: int) -> str:
    return _sign(signer, caller, "access", now, ACCESS_SECONDS, {"access": _listed(granted)})


def refresh(signer: Signer, caller: Caller, secret_mark: str | None, now: int, life_seconds: int) -> str:
    return _sign(signer, caller, "refresh", now, life_seconds, {"mark": secret_mark} if secret_mark else {})


def for_a_pull(signer: Signer, caller: Caller, granted: Granted, now: int) -> str:
    """A refresh token that gets tokens for these repositories, and for no others."""
    return _sign(signer, caller, "refresh", now, LOGIN_SECONDS, {"access": _listed(granted)})


def _listed(granted: Granted) -> list[dict[str, Any]]:
    return [
        {"type": "repository", "name": repository.name, "actions": [each for each in ACTIONS if each in actions]}
        for repository, actions in granted.items()
    ]


def _granted(claims: Mapping[str, Any]) -> Mapping[str, frozenset[Action]]:
    return {each["name"]: frozenset(each["actions"]) for each in claims["access"]}


def read_access(signer: Signer, token: str) -> tuple[Caller, int]:
    """Who has it, and when it expires, in seconds since 1970. Raises InvalidTokenError."""
    claims = _verify(signer, token, "access")
    return Caller(_role(claims), claims["sub"], granted=_granted(claims)), claims["exp"]


def read_refresh(signer: Signer, token: str) -> Refresh:
    """Raises InvalidTokenError."""
    claims = _verify(signer, token, "refresh")
    granted = _granted(claims) if "access" in claims else None
    return Refresh(_role(claims), claims["sub"], claims.get("mark"), claims["exp"], granted)


def _sign(signer: Signer, caller: Caller, use: Use, now: int, life_seconds: int, claims: Mapping[str, Any]) -> str:
    lasting = {"iat": now, "nbf": now, "exp": now + life_seconds}
    whose = {"iss": SERVICE, "aud": SERVICE, "sub": caller.name, "role": caller.role, "use": use}
    return jwt.encode({**whose, **lasting, **claims}, signer.key, _ALGORITHM, {"kid": signer.key_id})


def _verify(signer: Signer, token: str, use: Use) -> Mapping[str, Any]:
    """The algorithm and the key are ours to say: a header that says anything more is no header of ours."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise InvalidTokenError("it is too long")
    try:
        header = jwt.get_unverified_header(token)
        if header != {"alg": _ALGORITHM, "typ": "JWT", "kid": signer.key_id}:
            raise InvalidTokenError("it was not signed with this registry's key")
        claims: dict[str, Any] = jwt.decode(
            token,
            signer.key.public_key(),
            algorithms=[_ALGORITHM],
            audience=SERVICE,
            issuer=SERVICE,
            leeway=LEEWAY_SECONDS,
            options={"require": list(_CLAIMS), "strict_aud": True},
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise InvalidTokenError(str(error)[:200]) from None
    if claims["use"] != use:
        raise InvalidTokenError(f"it is for another use than {use}")
    return claims


def _role(claims: Mapping[str, Any]) -> Role:
    assert claims["role"] in get_args(Role), "no other was ever signed"
    return cast(Role, claims["role"])
