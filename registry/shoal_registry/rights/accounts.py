"""Accounts: people and robots, what each may do, and the hash of the secret that shows who they are. Pure.

As the store keeps one, and, without `secret`, as people see it:

    {"name": "ci", "kind": "robot", "rights": [{"repositories": "team/*", "actions": ["pull", "push"]}],
     "disabled": false, "expiresAt": 1790000000, "createdAt": 1780000000, "createdBy": "operator/ann",
     "secret": {"salt": "<hex>", "hash": "<hex>"}}
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from shoal_registry.errors import Refused
from shoal_registry.rights.callers import ACTIONS, Right
from shoal_registry.rights.patterns import Pattern

Kind: TypeAlias = Literal["user", "robot"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RIGHTS_MAX = 100
SALT_BYTES = 16
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# 16 MiB and some 40 ms: secrets are of 256 random bits, so that this only has to be no invitation.
_SCRYPT: Mapping[str, int] = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}


@dataclass(frozen=True, slots=True)
class Hash:
    """Of a secret, which is kept nowhere."""

    salt: bytes
    hash: bytes

    @classmethod
    def of(cls, secret: str, salt: bytes) -> "Hash":
        """Takes its time: not for the loop."""
        return cls(salt, hashlib.scrypt(secret.encode(), salt=salt, **_SCRYPT))

    def is_of(self, secret: str) -> bool:
        return hmac.compare_digest(Hash.of(secret, self.salt).hash, self.hash)

    @property
    def mark(self) -> str:
        """Changes with the secret, and says nothing of it."""
        return hashlib.sha256(self.salt + self.hash).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Account:
    """Times in seconds since 1970. `expires_at`: None if never."""

    name: str
    kind: Kind
    rights: Sequence[Right]
    secret: Hash
    created_at: int
    created_by: str
    disabled: bool = False
    expires_at: int | None = None

    def is_good(self, now: float) -> bool:
        return not self.disabled and (self.expires_at is None or now < self.expires_at)

    def document(self) -> dict[str, Any]:
        """For people: nothing of the secret is in it."""
        rights = [
            {"repositories": right.repositories.text, "actions": [each for each in ACTIONS if each in right.actions]}
            for right in self.rights
        ]
        document = {
            "name": self.name,
            "kind": self.kind,
            "rights": rights,
            "disabled": self.disabled,
            "createdAt": self.created_at,
            "createdBy": self.created_by,
        }
        return document if self.expires_at is None else document | {"expiresAt": self.expires_at}

    def stored(self) -> bytes:
        secret = {"salt": self.secret.salt.hex(), "hash": self.secret.hash.hex()}
        return json.dumps(self.document() | {"secret": secret}).encode()

    @classmethod
    def load(cls, content: bytes) -> "Account":
        """Of what `stored` wrote."""
        document = json.loads(content)
        secret = Hash(bytes.fromhex(document["secret"]["salt"]), bytes.fromhex(document["secret"]["hash"]))
        return cls(
            document["name"],
            document["kind"],
            parse_rights(document["rights"]),
            secret,
            document["createdAt"],
            document["createdBy"],
            document["disabled"],
            document.get("expiresAt"),
        )


def parse_name(text: object) -> str:
    """Raises Refused."""
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise _invalid("name", f"{str(text)[:100]!r} is none: write 1 to 64 of a-z, 0-9, . _ and -, as in ci-web")
    return text


def parse_kind(text: object) -> Kind:
    """Raises Refused."""
    for kind in KINDS:
        if text == kind:
            return kind
    raise _invalid("kind", f"must be {' or '.join(KINDS)}")


def parse_rights(given: object) -> Sequence[Right]:
    """Raises Refused."""
    if not isinstance(given, list) or len(given) > RIGHTS_MAX:
        raise _invalid("rights", f"must be a list of at most {RIGHTS_MAX}")
    return [_right(each, f"rights[{number}]") for number, each in enumerate(given)]


def parse_expiry(given: object, now: float) -> int | None:
    """Raises Refused."""
    if given is None:
        return None
    if not isinstance(given, int) or isinstance(given, bool) or not now < given < 2**40:
        raise _invalid("expiresAt", "must be a time to come, in seconds since 1970")
    return given


def _right(given: object, field: str) -> Right:
    if not isinstance(given, dict) or set(given) != {"repositories", "actions"}:
        raise _invalid(field, 'must be as in {"repositories": "team/*", "actions": ["pull"]}')
    actions = given["actions"]
    if not isinstance(actions, list) or not actions or not all(each in ACTIONS for each in actions):
        raise _invalid(f"{field}.actions", f"must be a list of some of {', '.join(ACTIONS)}")
    return Right(Pattern.parse(given["repositories"]), frozenset(actions))


def _invalid(field: str, why: str) -> Refused:
    return Refused("ACCOUNT_INVALID", f"{field}: {why}.", detail={"field": field})
