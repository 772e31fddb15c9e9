"""Target groups and rules: what is refused at the door. What they must be to one another is the rules' to say."""

import re
from collections.abc import Sequence

from shoal.problems import Problem, quoted

from shoal_scheduler.api.validate_values import Document, Problems, at_most, between, one_of
from shoal_scheduler.model.traffic import GRPC, HTTP, HTTP1, HTTP2, HTTPS, TCP, TLS

VALUES_MAX = 100
FORWARDS_MAX = 5
PATTERN_CHARACTERS_MAX = 128

_GROUP_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,32}(?<!-)")
_RULE_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,64}(?<!-)")
_CERTIFICATE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_COOKIE = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_HOST = re.compile(r"[A-Za-z0-9.*?-]{1,128}")
# As ELB takes them.
_PATH = re.compile(r"[/*][A-Za-z0-9_.$/~\"'@:+&*?%=,;!()-]{0,127}")
_MATCHER = re.compile(r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?){0,20}")
_CHECK_PATH = re.compile(r"/[!-~]{0,1023}")

_NUMBERS = (
    ("HealthCheckIntervalSeconds", 1, 300),
    ("HealthCheckTimeoutSeconds", 1, 120),
    ("HealthyThresholdCount", 1, 10),
    ("UnhealthyThresholdCount", 1, 10),
    ("deregistrationDelaySeconds", 0, 3600),
)


def target_group_problems(document: Document, *, create: bool) -> Problems:
    """Of CreateTargetGroup and ModifyTargetGroup."""
    if create:
        yield from _name("Name", document.get("Name"), _GROUP_NAME, 32)
        yield from one_of("Protocol", document.get("Protocol"), (HTTP, HTTPS, TCP))
        yield from one_of("ProtocolVersion", document.get("ProtocolVersion"), (HTTP1, HTTP2, GRPC))
        if document.get("Protocol") == TCP and "ProtocolVersion" in document:
            yield Problem("ProtocolVersion", "is of HTTP and HTTPS only; leave it out")
    yield from one_of("HealthCheckProtocol", document.get("HealthCheckProtocol"), (HTTP, HTTPS, TCP))
    for name, low, high in _NUMBERS:
        yield from between(name, document.get(name), low, high)
    port = document.get("HealthCheckPort", "traffic-port")
    if port != "traffic-port" and not (port.isascii() and port.isdigit() and 1 <= int(port[:9]) <= 65535):
        yield Problem("HealthCheckPort", f"must be traffic-port or 1 to 65535, not {quoted(port[:100])}")
    path = document.get("HealthCheckPath", "/")
    if not _CHECK_PATH.fullmatch(path):
        yield Problem("HealthCheckPath", f"{quoted(path[:100])} is not allowed; use 1 to 1024 characters from / on")
    for name, code in document.get("Matcher", {}).items():
        if not _MATCHER.fullmatch(code):
            yield Problem(
                f"Matcher.{name}", f"{quoted(code[:100])} is not allowed; write it as 200, 200,202 or 200-299"
            )
    yield from _stickiness_problems(document.get("stickiness", {}))


def _stickiness_problems(stickiness: Document) -> Problems:
    yield from between("stickiness.DurationSeconds", stickiness.get("DurationSeconds"), 1, 604_800)
    cookie = stickiness.get("CookieName", "x")
    if not _COOKIE.fullmatch(cookie):
        yield Problem(
            "stickiness.CookieName", f"{quoted(cookie[:100])} is not allowed; use 1 to 128 letters, digits and - _ ."
        )


def rule_problems(document: Document, *, create: bool) -> Problems:
    """Of CreateRule and ModifyRule."""
    if create:
        yield from _name("name", document.get("name"), _RULE_NAME, 64)
        yield from one_of("protocol", document.get("protocol"), (HTTP, HTTPS, TCP, TLS))
        yield from between("port", document.get("port"), 1, 65535)
        if document.get("protocol") == TCP and "port" not in document:
            yield Problem("port", "is required of TCP")
    yield from between("Priority", document.get("Priority"), 1, 50_000)
    certificate = document.get("certificate", "x")
    if not _CERTIFICATE.fullmatch(certificate):
        yield Problem(
            "certificate", f"{quoted(certificate[:100])} is not the name of a pair of files; use letters, digits, - _ ."
        )
    if create or "Actions" in document:
        yield from _action_problems(document.get("Actions", ()))
    yield from _condition_problems(document.get("Conditions", ()))


def _action_problems(actions: Sequence[Document]) -> Problems:
    if len(actions) != 1:
        yield Problem("Actions", f"must be one, that forwards to target groups, not {len(actions)}")
        return
    yield from one_of("Actions[0].Type", actions[0].get("Type", "forward"), ("forward",))
    tuples = actions[0].get("ForwardConfig", {}).get("TargetGroups", ())
    if bool(tuples) == ("TargetGroupArn" in actions[0]):
        yield Problem("Actions[0]", "must have one of TargetGroupArn and ForwardConfig with TargetGroups")
    path = "Actions[0].ForwardConfig.TargetGroups"
    yield from at_most(path, tuples, FORWARDS_MAX)
    seen = set()
    for index, each in enumerate(tuples):
        name = each.get("TargetGroupArn")
        if not name:
            yield Problem(f"{path}[{index}].TargetGroupArn", "is required: a name or an ARN")
        elif name in seen:
            yield Problem(f"{path}[{index}].TargetGroupArn", f"{quoted(name[:300])} is there twice; name it once")
        seen.add(name)
        yield from between(f"{path}[{index}].Weight", each.get("Weight"), 0, 999)
    if len(tuples) > 1 and not any(each.get("Weight", 1) for each in tuples):
        yield Problem(path, "have no weight at all; give one of them at least 1")


def _condition_problems(conditions: Sequence[Document]) -> Problems:
    seen = set()
    for index, condition in enumerate(conditions):
        path, field = f"Conditions[{index}]", condition.get("Field", "")
        yield from one_of(f"{path}.Field", field, ("host-header", "path-pattern"))
        if field in seen:
            yield Problem(f"{path}.Field", f"{field} is there twice; put all its values into one condition")
        seen.add(field)
        values = condition.get("Values", ())
        if not values:
            yield Problem(f"{path}.Values", "is required: at least one")
        yield from at_most(f"{path}.Values", values, VALUES_MAX)
        pattern, rule = (
            (_PATH, "start with / or *") if field == "path-pattern" else (_HOST, "letters, digits and - . * ?")
        )
        for number, value in enumerate(values[:VALUES_MAX]):
            if not pattern.fullmatch(value):
                yield Problem(
                    f"{path}.Values[{number}]",
                    f"{quoted(value[:100])} is not allowed; use up to {PATTERN_CHARACTERS_MAX} characters: {rule}",
                )


def _name(field: str, value: str | None, pattern: re.Pattern[str], most: int) -> Problems:
    if not value:
        yield Problem(field, "is required")
    elif not pattern.fullmatch(value):
        yield Problem(
            field, f"{quoted(value[:300])} is not allowed; use 1 to {most} letters, digits and hyphens, none at an end"
        )
