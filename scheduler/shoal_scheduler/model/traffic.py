"""How requests find tasks: target groups, listener rules and what is known of targets. The words are ELBv2's.

A service names target groups; its tasks are their targets. A rule says which of the requests that come in at a port go
to which target groups.
"""

import msgspec

HTTP, HTTPS, TCP, TLS = "HTTP", "HTTPS", "TCP", "TLS"

# What an HTTP target group's targets speak; "" of a TCP one.
HTTP1, HTTP2, GRPC = "HTTP1", "HTTP2", "GRPC"

# States of a target. `unused`: no rule forwards to its group. Nothing is said of a target that nobody has checked.
INITIAL, HEALTHY, UNHEALTHY, UNUSED, DRAINING = "initial", "healthy", "unhealthy", "unused", "draining"

# A target is taken out of the routes so long before its task is told to stop: what it was sent may be answered. Ours:
# ELB waits 300 seconds, but its targets are not known to have nothing left to do, and most requests take far less.
DEREGISTRATION_DELAY_SECONDS = 10


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of each target of a group. Times in seconds. ELB's defaults are interval 30 and healthy threshold 5; ours find
    out earlier. A target that is new needs to pass one check only, as with ELB."""

    # HTTP, HTTPS or TCP.
    protocol: str = HTTP

    # 0: the port the target gets its requests at (`traffic-port`).
    port: int = 0

    # Of gRPC the method, as in ELB; the standard health service's by default.
    path: str = "/"
    interval: int = 5
    timeout: int = 2
    healthy_threshold: int = 2
    unhealthy_threshold: int = 2

    # Codes that are well: `200`, `200,202`, `200-299`. Of HTTP status codes, of gRPC status codes.
    matcher: str = "200"


class Stickiness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client stays with a target for so long, by a cookie (`lb_cookie`)."""

    enabled: bool = False
    duration: int = 86_400

    # "": one is made up from the target group's name.
    cookie: str = ""


class TargetGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tasks that answer the same requests; which, the services say that name it."""

    name: str
    cluster: str
    created_at: int

    # HTTP, HTTPS or TCP: what its targets speak.
    protocol: str = HTTP
    protocol_version: str = HTTP1
    health_check: HealthCheck = HealthCheck()
    deregistration_delay: int = DEREGISTRATION_DELAY_SECONDS
    stickiness: Stickiness = Stickiness()
    tags: dict[str, str] = {}


class Forward(msgspec.Struct, frozen=True, array_like=True):
    """To a target group: `weight` of the sum of the rule's weights."""

    target_group: str
    weight: int = 1


class ListenerRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which requests at a port go to which target groups. All conditions must hold; of a condition's values any."""

    name: str
    cluster: str
    created_at: int

    # HTTP, HTTPS, TCP or TLS (ends here, and goes on as TCP), and where it listens. All rules of a port have the same.
    protocol: str = HTTP
    port: int = 80

    # The lowest is asked first; one per port.
    priority: int = 1

    # host-header and path-pattern, with the wildcards `*` and `?`; none: all. Of TLS the name the client asks for.
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    forwards: tuple[Forward, ...] = ()

    # Name of a pair of files where the ingress keeps certificates: NAME.crt and NAME.key.
    certificate: str = ""
    tags: dict[str, str] = {}


class TargetHealth(msgspec.Struct, frozen=True, array_like=True):
    """What the ingress last said of a target, and since when, in milliseconds. Volatile: it says so again."""

    state: str
    reason: str = ""
    description: str = ""
    since: int = 0


class Target(msgspec.Struct, frozen=True, array_like=True, order=True):
    """What a task is to a target group. A task is at most one target of a group."""

    target_group: str
    task: str
