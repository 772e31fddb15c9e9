"""Alarms: when one changes its state, and who is to be told. Pure.

What a missing datapoint means is CloudWatch's (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/
AlarmThatSendsEmail.html): `breaching` and `notBreaching` count it as that; with `ignore` the state stays unless those
that are there decide it; with `missing` those that are there decide, and none at all is INSUFFICIENT_DATA.
"""

import operator
from collections.abc import Callable, Mapping, Sequence

import msgspec
from shoal import arn

from shoal_scheduler.control import alarm_inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.alarm import ALARM, HISTORY_MAX, INSUFFICIENT_DATA, OK, Alarm, Transition
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.overlay import Overlay

ALARMS_MAX = 1_000
_STATE = ("state", "reason", "changed_at", "changed_version", "undelivered", "history")

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
MISSING = ("missing", "breaching", "notBreaching", "ignore")


def evaluate(alarm: Alarm, values: Sequence[float | None]) -> tuple[str, str]:
    """The state and why. `values`: one for each evaluation period, the oldest first; None where there is none."""
    breaches = COMPARISONS[alarm.comparison]
    seen = [None if value is None else breaches(value, alarm.threshold) for value in values]
    if alarm.missing in ("breaching", "notBreaching"):
        seen = [alarm.missing == "breaching" if each is None else each for each in seen]
    breaching, known = seen.count(True), len(seen) - seen.count(None)
    reason = _reason(alarm, values, breaching)
    if breaching >= alarm.datapoints_to_alarm:
        return ALARM, reason
    if not known and alarm.missing == "missing":
        return INSUFFICIENT_DATA, "Insufficient data: no datapoint was received"
    if alarm.missing == "ignore" and breaching + seen.count(None) >= alarm.datapoints_to_alarm:
        return alarm.state, alarm.reason
    return OK, reason


def _reason(alarm: Alarm, values: Sequence[float | None], breaching: int) -> str:
    shown = ", ".join("missing" if value is None else f"{value:.6g}" for value in values[-5:])
    were = "was" if breaching == 1 else "were"
    return (
        f"{breaching} of the last {len(values)} datapoints [{shown}] {were}"
        f" {alarm.comparison} {alarm.threshold:g} ({alarm.datapoints_to_alarm} make an alarm)"
    )


def put(view: Overlay, request: i.PutAlarm, context: Context) -> Outcome:
    """What is told of its state stays, so that changing a threshold tells nobody twice."""
    known, wanted = view.alarm(request.alarm.name), request.alarm
    if known is None and view.alarms_count() >= ALARMS_MAX:
        raise Refused(
            "exhausted", f"There are {ALARMS_MAX} alarms: delete some first.", reason="LimitExceededException"
        )
    if known is None:
        put_alarm = msgspec.structs.replace(wanted, changed_at=context.now)
    else:
        kept = {name: getattr(known, name) for name in _STATE}
        put_alarm = msgspec.structs.replace(wanted, **kept, version=known.version + 1)
    return Outcome(put_alarm, [c.PutAlarm(put_alarm)])


def delete(view: Overlay, request: i.DeleteAlarms, _context: Context) -> Outcome:
    found = [name for name in request.names if view.alarm(name) is not None]
    return Outcome(None, [c.DeleteAlarm(name) for name in dict.fromkeys(found)])


def set_state(view: Overlay, request: i.SetAlarmState, context: Context) -> Outcome:
    """Of an alarm that was changed since it was looked at, nothing is taken: it is looked at again."""
    known = _find(view, request.name)
    stale = request.version and request.version != known.version
    if stale or (known.state == request.state):
        return Outcome(known)
    told = _addresses(known.actions.get(request.state, ())) if known.actions_enabled else ()
    transition = Transition(context.now, known.state, request.state, request.reason)
    changed = msgspec.structs.replace(
        known,
        state=request.state,
        reason=request.reason,
        changed_at=context.now,
        version=known.version + 1,
        changed_version=known.version + 1,
        undelivered=told,
        history=(*known.history, transition)[-HISTORY_MAX:],
    )
    return Outcome(changed, [c.PutAlarm(changed)])


def _addresses(actions: Sequence[str]) -> tuple[str, ...]:
    """Without scaling policies: they are looked at for as long as it is in ALARM, and are not told."""
    return tuple(action for action in actions if not action.startswith(arn.SCALING_PREFIX))


def enable(view: Overlay, request: i.EnableAlarmActions, _context: Context) -> Outcome:
    changed = []
    for name in request.names:
        known = view.alarm(name)
        if known is not None and known.actions_enabled != request.enabled:
            left = known.undelivered if request.enabled else ()
            changed.append(
                msgspec.structs.replace(
                    known, actions_enabled=request.enabled, undelivered=left, version=known.version + 1
                )
            )
    return Outcome(None, [c.PutAlarm(alarm) for alarm in changed])


def delivered(view: Overlay, request: i.AlarmDelivered, _context: Context) -> Outcome:
    """Of the transition that was told, not of a later one."""
    known = view.alarm(request.name)
    if known is None or known.changed_at != request.changed_at or request.address not in known.undelivered:
        return Outcome(None)
    left = tuple(address for address in known.undelivered if address != request.address)
    return Outcome(None, [c.PutAlarm(msgspec.structs.replace(known, undelivered=left, version=known.version + 1))])


def _find(view: Overlay, name: str) -> Alarm:
    known = view.alarm(name)
    if known is None:
        raise Refused("not_found", f"AlarmName: there is no alarm {name!r}.", reason="ResourceNotFound")
    return known
