"""That a host goes, and when: what was running there is to be over by then."""

from datetime import UTC, datetime

import msgspec

OPERATOR, NOTICE = "operator", "notice"

# ECS's words of the tasks that end for it: for a notice that the host itself got, as spot hosts do, and an operator's.
STOP_CODES = {OPERATOR: "TerminationNotice", NOTICE: "SpotInterruption"}
_WORDS = {OPERATOR: "by an operator", NOTICE: "by a notice it got"}


class Interruption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`deadline` and `noticed_at` in milliseconds, by the scheduler's clock; `source`: OPERATOR or NOTICE."""

    source: str
    noticed_at: int
    deadline: int
    reason: str = ""

    @property
    def stop_code(self) -> str:
        return STOP_CODES[self.source]

    def words(self, instance: str) -> str:
        """Of the instance, as people are told of it.

        >>> Interruption(source=OPERATOR, noticed_at=0, deadline=90_000, reason="sold").words("x (host-x)")
        'Container instance x (host-x) is interrupted by an operator: it goes at 1970-01-01T00:01:30+00:00 (sold)'
        """
        moment = datetime.fromtimestamp(self.deadline / 1000, UTC).isoformat(timespec="seconds")
        why = f" ({self.reason})" if self.reason else ""
        return f"Container instance {instance} is interrupted {_WORDS[self.source]}: it goes at {moment}{why}"


class Noticed(msgspec.Struct, frozen=True):
    """A notice that a host goes, as its agent found it: in how many milliseconds, and what it says."""

    remaining_millis: int
    reason: str


def is_interrupted(stop_code: str) -> bool:
    """Whether a task with this stop code ended, or is to end, because its host goes: not by its own doing.

    >>> is_interrupted("SpotInterruption"), is_interrupted("UserInitiated")
    (True, False)
    """
    return stop_code in STOP_CODES.values()
