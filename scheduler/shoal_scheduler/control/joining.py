"""Hosts join by tokens; what they became can be revoked, and a copy of it is kept out."""

from collections.abc import Sequence

import msgspec
from shoal import arn

from shoal_scheduler.control import clusters
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.join_token import ROLES, JoinToken
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.tables import Tables

TOKENS_MAX = 1_000

# The record of a token names each host that used it, and every use writes it.
USES_MAX = 500

# A token stays listed so long after its end, so that who comes late is told so.
KEPT_MILLIS = 24 * 3600 * 1000

# Copies of an identity that are remembered, the newest.
COPIES_MAX = 8

# A copy that comes again and again is not written down each time.
ALARM_PERIOD_MILLIS = 60_000

# One that has not come for so long is told of no more, once the instance's own agent begins a session. It stays out.
ALARM_OVER_MILLIS = 3600 * 1000


def create_token(view: Overlay, request: i.CreateJoinToken, context: Context) -> Outcome:
    clusters.find(view, request.cluster)
    longest = context.limits.join_token_seconds_max
    if request.role not in ROLES:
        raise invalid_field("role", f"must be {' or '.join(ROLES)}.")
    if not 1 <= request.ttl_seconds <= longest:
        raise invalid_field("ttlSeconds", f"must be from 1 to {longest}.")
    if not 1 <= request.uses <= USES_MAX:
        raise invalid_field("uses", f"must be from 1 to {USES_MAX}.")
    if len(view.join_tokens(request.cluster)) >= TOKENS_MAX:
        raise Refused(
            "exhausted",
            f"Cluster {request.cluster!r} has {TOKENS_MAX} join tokens: revoke some first.",
            reason="LimitExceededException",
        )
    token = JoinToken(
        hash=request.hash,
        cluster=request.cluster,
        role=request.role,
        created_at=context.now,
        expires_at=context.now + request.ttl_seconds * 1000,
        uses=request.uses,
        created_by=request.created_by,
    )
    return Outcome(token, [c.PutJoinToken(token)])


def use_token(view: Overlay, request: i.UseJoinToken, context: Context) -> Outcome:
    """Answered with the instance that the key becomes, or has become by this token: asking again costs no use."""
    token = view.join_token(request.hash)
    if token is None:
        raise Refused("denied", "This token is not known: it was never given, or was revoked.")
    if token.role != request.role:
        raise Refused("denied", f"This token is for another role: it makes an {token.role!r}.")
    if token.expires_at <= context.now:
        raise Refused("denied", "This token has expired: ask for a new one.")
    became = token.used_by.get(request.key)
    if became is not None:
        check_not_revoked(view.instance(became))
        return Outcome(i.Joined(token.cluster, became))
    if token.uses_left <= 0:
        raise Refused("denied", "This token was used as often as it may be: ask for a new one.")
    used = msgspec.structs.replace(token, used_by={**token.used_by, request.key: request.instance})
    return Outcome(i.Joined(token.cluster, request.instance), [c.PutJoinToken(used)])


def revoke_token(view: Overlay, request: i.RevokeJoinToken, _context: Context) -> Outcome:
    """Who joined by it stays; see `revoke_instance`."""
    clusters.find(view, request.cluster)
    found = [token for token in view.join_tokens(request.cluster) if request.id and token.hash.startswith(request.id)]
    if len(found) != 1:
        said = "several tokens begin" if found else "no token begins"
        raise invalid_field("id", f"{said} with {request.id!r}. List them with ListJoinTokens.")
    return Outcome(found[0], [c.DeleteJoinToken(request.cluster, found[0].hash)])


def revoke_instance(view: Overlay, request: i.RevokeInstance, context: Context) -> Outcome:
    """The identity is over for good: its session ends, and it gets no other, nor a new certificate. Its tasks are
    those of a host that is away. One that joined and never came is revoked, too."""
    clusters.find(view, request.cluster)
    name = arn.short(request.instance)
    known = view.instance(name)
    if known is not None and known.cluster != request.cluster:
        raise invalid_field("containerInstance", f"{name!r} is an instance of cluster {known.cluster!r}.")
    if known is not None and known.revoked_at:
        return Outcome(known)
    if known is None:
        known = Instance(id=name, cluster=request.cluster, registered_at=context.now, status="INACTIVE", version=0)
    revoked = msgspec.structs.replace(
        known, revoked_at=context.now, revoked_by=request.revoked_by, version=known.version + 1
    )
    return Outcome(revoked, [c.PutInstance(revoked), c.SetSession(name, 0)])


def copy_seen(view: Overlay, request: i.CopySeen, context: Context) -> Outcome:
    """Two agents with one key were seen alive: the one that came second stays out while it runs, whoever leads."""
    known = view.instance(request.instance)
    if known is None:
        return Outcome(None)
    recent = context.now - known.copy_seen_at < ALARM_PERIOD_MILLIS
    if recent and request.run in known.copies:
        return Outcome(known)
    copies = (*(run for run in known.copies if run != request.run), request.run)[-COPIES_MAX:]
    seen = msgspec.structs.replace(
        known, copies=copies, copy_seen_at=context.now, copy_host=request.host, version=known.version + 1
    )
    return Outcome(seen, [c.PutInstance(seen)])


def alarm_is_over(instance: Instance, now: int) -> bool:
    return bool(instance.copy_seen_at) and now - instance.copy_seen_at > ALARM_OVER_MILLIS


def check_not_revoked(instance: Instance | None) -> None:
    """Raises Refused."""
    if instance is not None and instance.revoked_at:
        raise Refused(
            "denied",
            f"The identity of instance {instance.id} was revoked. If the host is to come back, have it join anew"
            " with a new token.",
            reason="AccessDeniedException",
        )


def check_no_copy(instance: Instance | None, run: str) -> None:
    """Raises Refused for an agent that was seen beside another one with its key."""
    if instance is not None and run and run in instance.copies:
        raise Refused(
            "conflict",
            f"Another agent with the key of instance {instance.id} was seen at the same time. Have this host join as"
            " an instance of its own; if it is the right one, revoke nothing, end the other one and start this agent"
            " again.",
        )


def expired(tables: Tables, now: int, most: int) -> Sequence[c.Change]:
    """Tokens to drop now."""
    over = [token for token in tables.join_tokens.values() if token.expires_at + KEPT_MILLIS <= now]
    return [c.DeleteJoinToken(token.cluster, token.hash) for token in over[:most]]
