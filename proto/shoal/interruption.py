"""Hosts that go at a known time, in the words that agent and scheduler both use for it."""

from datetime import UTC, datetime

OPERATOR, NOTICE = "operator", "notice"

# ECS's, of the tasks that end for it: for a notice that the host itself got, as spot hosts do, and for an operator's.
STOP_CODES = {OPERATOR: "TerminationNotice", NOTICE: "SpotInterruption"}
_BY = {OPERATOR: "by an operator", NOTICE: "by a notice it got"}


def words(instance: str, source: str, ends_at: float, reason: str) -> str:
    """Why its tasks end. `ends_at` in seconds since 1970.

    >>> words("x (host-x)", OPERATOR, 90.0, "sold")
    'Container instance x (host-x) is interrupted by an operator: it goes at 1970-01-01T00:01:30+00:00 (sold)'
    """
    moment = datetime.fromtimestamp(ends_at, UTC).isoformat(timespec="seconds")
    why = f" ({reason})" if reason else ""
    return f"Container instance {instance} is interrupted {_BY[source]}: it goes at {moment}{why}"


def is_interrupted(stop_code: str) -> bool:
    """Whether a task with this stop code ended, or is to end, because its host goes: not by its own doing.

    >>> is_interrupted("SpotInterruption"), is_interrupted("UserInitiated")
    (True, False)
    """
    return stop_code in STOP_CODES.values()
