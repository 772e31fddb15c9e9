"""Rules: create, modify, delete. The rules of a port make up its listener."""

import msgspec
from shoal import arn
from shoal.problems import quoted

from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.traffic import inputs as i
from shoal_scheduler.control.traffic.target_groups import find as find_group
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.traffic import HTTP, HTTPS, TCP, TLS, ListenerRule
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import DeleteRecord, PutRecord

RULES_MAX = 1_000
PRIORITY_MAX = 50_000


def create(view: Overlay, request: i.CreateRule, context: Context) -> Outcome:
    """The same again is answered with what is there."""
    wanted = msgspec.structs.replace(request.rule, created_at=context.now)
    known = view.records.get(ListenerRule, wanted.cluster, wanted.name)
    if known is not None:
        same = msgspec.structs.replace(wanted, created_at=known.created_at, priority=wanted.priority or known.priority)
        if same == known:
            return Outcome(known)
        raise Refused(
            "conflict",
            f"name: there is a rule {known.name!r} already, and it is another one: change it with ModifyRule, or take"
            " another name.",
            reason="DuplicateRuleException",
        )
    others = view.records.of(ListenerRule, wanted.cluster)
    if len(others) >= RULES_MAX:
        raise Refused(
            "exhausted", f"A cluster has at most {RULES_MAX} rules: delete some first.", reason="TooManyRulesException"
        )
    if not wanted.priority:
        highest = max((each.priority for each in others if each.port == wanted.port), default=0)
        wanted = msgspec.structs.replace(wanted, priority=highest + 1)
    _check(view, wanted)
    return Outcome(wanted, [PutRecord(wanted)])


def modify(view: Overlay, request: i.ModifyRule, _context: Context) -> Outcome:
    before = find(view, request.cluster, request.name)
    rule = msgspec.structs.replace(before, **request.fields)
    _check(view, rule)
    return Outcome(rule, [PutRecord(rule)] if rule != before else [])


def delete(view: Overlay, request: i.DeleteRule, _context: Context) -> Outcome:
    rule = find(view, request.cluster, request.name)
    return Outcome(None, [DeleteRecord(ListenerRule, (rule.cluster, rule.name))])


def find(view: Overlay, cluster: str, name: str, field: str = "RuleArn") -> ListenerRule:
    """By name or ARN. Raises Refused."""
    rule = view.records.get(ListenerRule, cluster, arn.short(name))
    if rule is None:
        raise Refused(
            "not_found",
            f"{field}: there is no rule {quoted(name[:300])} in cluster {cluster}. List them with DescribeRules.",
            reason="RuleNotFoundException",
        )
    return rule


def _check(view: Overlay, rule: ListenerRule) -> None:
    """Against the target groups and the other rules of its port. Raises Refused."""
    if not 1 <= rule.priority <= PRIORITY_MAX:
        raise invalid_field("Priority", f"is {rule.priority}, must be 1 to {PRIORITY_MAX}.")
    web = (HTTP, HTTPS)
    for index, forward in enumerate(rule.forwards):
        field = f"Actions[0].ForwardConfig.TargetGroups[{index}].TargetGroupArn"
        group = find_group(view, rule.cluster, forward.target_group, field)
        if (rule.protocol in web) != (group.protocol in web):
            raise invalid_field(field, f"{group.name!r} is {group.protocol}, which {rule.protocol} cannot go to.")
    others = [each for each in view.records.of(ListenerRule, rule.cluster) if each.name != rule.name]
    for other in (each for each in others if each.port == rule.port):
        if other.protocol != rule.protocol:
            raise invalid_field(
                "protocol", f"is {rule.protocol}, but rule {other.name!r} has port {rule.port} as {other.protocol}."
            )
        if other.priority == rule.priority:
            raise Refused(
                "conflict",
                f"Priority: {rule.priority} is that of rule {other.name!r} of port {rule.port}; take another one, or"
                " leave it out.",
                reason="PriorityInUseException",
            )
        if rule.protocol == TCP:
            raise invalid_field(
                "port", f"{rule.port} is that of rule {other.name!r}, and connections of TCP cannot be told apart."
            )
    _check_protocol(rule)


def _check_protocol(rule: ListenerRule) -> None:
    is_secure = rule.protocol in (HTTPS, TLS)
    if is_secure and not rule.certificate:
        raise invalid_field("certificate", f"is required of {rule.protocol}: the name of a pair of files.")
    if rule.certificate and not is_secure:
        raise invalid_field("certificate", f"is for HTTPS and TLS, not {rule.protocol}: leave it out.")
    if rule.protocol == TCP and (rule.hosts or rule.paths):
        raise invalid_field("Conditions", "of TCP there can be none: it says nothing of where it wants to go.")
    if rule.protocol == TLS and rule.paths:
        raise invalid_field("Conditions", "of TLS can be host-header only, by the name the client asks for.")
