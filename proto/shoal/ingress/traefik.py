"""What Traefik is told: on its command line once, and in a file again and again. Pure.

Each port that has rules is served by a Traefik of its own: what listens where is fixed when Traefik starts, so that
one for all ports would have to be started anew, with connections cut, for each new port.

A target group is a service of Traefik's, by its name; a rule is a router, by its name; a rule that forwards to several
groups has a weighted service between the two, `<rule>.rule`, which no target group can be called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.ingress.patterns import http_rule, name_rule
from shoal.v1 import traffic_pb2 as pb

# Of a request that no target could be handed: how often it is tried in all, each time with the target whose turn it is.
# Others take turns meanwhile, so that it may be a dead one's again: of two targets, in half of the attempts.
ATTEMPTS = 10
RETRY_AFTER = "5ms"

# How long a target may take to accept a connection: its kernel does that, whatever it is at. A host that is gone says
# nothing, and a request that comes to it several times in its turns waits so long each time.
DIAL_TIMEOUT = "500ms"

# Of a TCP target group, whose connections are tried once: the first packet may be lost.
TCP_DIAL_TIMEOUT = "2s"

# How long a connection is kept that nobody uses: servers close those they have kept for a while, many after 60 seconds.
IDLE_TIMEOUT = "30s"

# An answer begins by then, as with ELB: a host that is gone says nothing on the connections it had. One that carries
# many calls is asked whether it still lives instead: a stream may be silent for as long as it likes.
ANSWER_TIMEOUT = "60s"
PING_AFTER, PING_TIMEOUT = "10s", "5s"

# A change is taken up so soon after the one before it.
THROTTLE = "100ms"
GRACE_SECONDS = 5
PRIORITY_MAX = 50_000

# Of a port's Traefik: where it is asked how it is, and for its metrics.
INTERNAL = "internal"
_WEB, _SECURE_WEB = ("HTTP", "HTTPS"), ("HTTPS", "TLS")
_STREAMS = ("HTTP2", "GRPC")


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM texts: a chain and its key."""

    chain: str
    key: str


# Of a target group's name: host and port of the targets that get its requests.
Serving = Mapping[str, Sequence[tuple[str, int]]]


def arguments(port: int, internal_port: int, routes: str) -> list[str]:
    """Of the Traefik of a port. `routes`: the file with its routes, which it follows."""
    options = {
        "entryPoints.public.address": f":{port}",
        # A stream lasts as long as it lasts; a client that sends nothing at all is left by the idle time-out.
        "entryPoints.public.transport.respondingTimeouts.readTimeout": "0",
        "entryPoints.public.transport.lifeCycle.graceTimeOut": f"{GRACE_SECONDS}s",
        # X_Forwarded_For and the like, which programs may take for Traefik's own X-Forwarded-For.
        "entryPoints.public.http.aliasHeadersStrategy": "delete",
        f"entryPoints.{INTERNAL}.address": f"127.0.0.1:{internal_port}",
        "ping.entryPoint": INTERNAL,
        "metrics.prometheus.entryPoint": INTERNAL,
        "metrics.prometheus.addEntryPointsLabels": "false",
        "metrics.prometheus.addServicesLabels": "true",
        "providers.file.filename": routes,
        "providers.file.watch": "true",
        "providers.providersThrottleDuration": THROTTLE,
        "global.checkNewVersion": "false",
        "global.sendAnonymousUsage": "false",
        "log.level": "WARN",
        "log.format": "json",
    }
    return [f"--{name}={value}" for name, value in options.items()]


def configuration(
    port: int, routes: pb.WatchRoutesResponse, serving: Serving, certificates: Mapping[str, Certificate]
) -> dict[str, Any]:
    """Of the Traefik of a port, as its file provider reads it. A rule is left out while its certificate is not
    there: it would be served with one that no client knows."""
    rules = [each for each in routes.rules if each.port == port and is_served(each, certificates)]
    groups = {each.target_group_name: each for each in routes.target_groups}
    web = [rule for rule in rules if rule.protocol in _WEB]
    plain = [rule for rule in rules if rule.protocol not in _WEB]
    result: dict[str, Any] = {}
    if web:
        result["http"] = _http(web, groups, serving)
    if plain:
        result["tcp"] = _tcp(plain, serving)
    if wanted := dict.fromkeys(rule.certificate for rule in rules if rule.protocol in _SECURE_WEB):
        result["tls"] = _tls([certificates[name] for name in wanted])
    return result


def is_served(rule: pb.Rule, certificates: Mapping[str, Certificate]) -> bool:
    return rule.protocol not in _SECURE_WEB or rule.certificate in certificates


def forwards(rule: pb.Rule) -> list[tuple[str, int]]:
    """Target groups with their weights."""
    return [
        (each.target_group_arn, each.weight) for action in rule.actions for each in action.forward_config.target_groups
    ]


def _http(rules: Sequence[pb.Rule], groups: Mapping[str, pb.TargetGroup], serving: Serving) -> dict[str, Any]:
    named = dict.fromkeys(name for rule in rules for name, _ in forwards(rule))
    services = {name: _web_service(groups[name], serving.get(name, ())) for name in named}
    routers = {}
    for rule in rules:
        services |= _weighted(rule, any(groups[name].stickiness.enabled for name, _ in forwards(rule)))
        routers[rule.name] = {
            "entryPoints": ["public"],
            "rule": http_rule(values(rule, "host-header"), values(rule, "path-pattern")),
            "priority": _priority(rule),
            "service": _service_of(rule),
            "middlewares": ["again"],
            **({"tls": {}} if rule.protocol in _SECURE_WEB else {}),
        }
    return {
        "routers": routers,
        "services": services,
        "middlewares": {"again": {"retry": {"attempts": ATTEMPTS, "initialInterval": RETRY_AFTER}}},
        "serversTransports": _web_transports(),
    }


def _web_transports() -> dict[str, Any]:
    timeouts = {"dialTimeout": DIAL_TIMEOUT, "idleConnTimeout": IDLE_TIMEOUT}
    # As with ELB, a target shows a certificate, and nobody asks whose it is.
    common = {"insecureSkipVerify": True, "maxIdleConnsPerHost": 200}
    pings = {"readIdleTimeout": PING_AFTER, "pingTimeout": PING_TIMEOUT}
    return {
        "targets": common | {"forwardingTimeouts": timeouts | {"responseHeaderTimeout": ANSWER_TIMEOUT}},
        "streams": common | {"forwardingTimeouts": timeouts | pings},
    }


def _web_service(group: pb.TargetGroup, targets: Sequence[tuple[str, int]]) -> dict[str, Any]:
    is_plain_http2 = group.protocol == "HTTP" and group.protocol_version in _STREAMS
    scheme = "h2c" if is_plain_http2 else group.protocol.lower()
    balancer: dict[str, Any] = {
        "servers": [{"url": f"{scheme}://{_at(host, port)}"} for host, port in targets],
        "serversTransport": "streams" if group.protocol_version in _STREAMS else "targets",
        "passHostHeader": True,
    }
    if group.protocol_version == "GRPC":
        balancer["responseForwarding"] = {"flushInterval": "1ms"}
    if group.stickiness.enabled:
        balancer["sticky"] = {"cookie": _cookie(cookie_of(group), group.stickiness.duration_seconds)}
    return {"loadBalancer": balancer}


def cookie_of(group: pb.TargetGroup) -> str:
    return group.stickiness.cookie_name or f"shoal-{group.target_group_name}"


def _cookie(name: str, seconds: int) -> dict[str, Any]:
    return {"name": name, "httpOnly": True, "maxAge": seconds}


def _weighted(rule: pb.Rule, sticky: bool) -> dict[str, Any]:
    """A rule of one group needs none. A client that stays with a target must stay with its group as well."""
    if len(forwards(rule)) == 1:
        return {}
    weighted: dict[str, Any] = {"services": [{"name": name, "weight": weight} for name, weight in forwards(rule)]}
    if sticky:
        weighted["sticky"] = {"cookie": _cookie(f"shoal-{rule.name}-group", 86_400)}
    return {f"{rule.name}.rule": {"weighted": weighted}}


def _service_of(rule: pb.Rule) -> str:
    found = forwards(rule)
    return found[0][0] if len(found) == 1 else f"{rule.name}.rule"


def _tcp(rules: Sequence[pb.Rule], serving: Serving) -> dict[str, Any]:
    named = dict.fromkeys(name for rule in rules for name, _ in forwards(rule))
    services: dict[str, Any] = {name: _tcp_service(serving.get(name, ())) for name in named}
    routers = {}
    for rule in rules:
        services |= _weighted(rule, sticky=False)
        routers[rule.name] = {
            "entryPoints": ["public"],
            "rule": name_rule(values(rule, "host-header") if rule.protocol in _SECURE_WEB else ()),
            "priority": _priority(rule),
            "service": _service_of(rule),
            **({"tls": {}} if rule.protocol in _SECURE_WEB else {}),
        }
    return {
        "routers": routers,
        "services": services,
        "serversTransports": {"targets": {"dialTimeout": TCP_DIAL_TIMEOUT}},
    }


def _tcp_service(targets: Sequence[tuple[str, int]]) -> dict[str, Any]:
    servers = [{"address": _at(host, port)} for host, port in targets]
    return {"loadBalancer": {"servers": servers, "serversTransport": "targets"}}


def _tls(wanted: Sequence[Certificate]) -> dict[str, Any]:
    """Whole, and not as the names of files: Traefik reads a file that is replaced in its place no second time."""
    files = [{"certFile": each.chain, "keyFile": each.key} for each in wanted]
    # Who asks for no name, or for one of which there is no certificate, is shown the first one.
    return {"certificates": files, "stores": {"default": {"defaultCertificate": files[0]}}}


def values(rule: pb.Rule, field: str) -> list[str]:
    """Of the condition on that field."""
    return [value for condition in rule.conditions if condition.field == field for value in condition.values]


def _priority(rule: pb.Rule) -> int:
    """Of Traefik's routers the one with the highest number is asked first, and 0 is none."""
    return PRIORITY_MAX + 1 - rule.priority


def _at(host: str, port: int) -> str:
    """
    >>> _at("10.0.0.1", 80), _at("fd00::1", 80)
    ('10.0.0.1:80', '[fd00::1]:80')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
