"""That a host goes, and when: what was running there is to be over by then."""

import msgspec
from shoal import interruption


class Interruption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`deadline` and `noticed_at` in milliseconds, by the scheduler's clock; `source`: OPERATOR or NOTICE of
    shoal.interruption."""

    source: str
    noticed_at: int
    deadline: int
    reason: str = ""

    @property
    def stop_code(self) -> str:
        return interruption.STOP_CODES[self.source]

    def words(self, instance: str) -> str:
        """Of the instance, as people know it: why its tasks end."""
        return interruption.words(instance, self.source, self.deadline / 1000, self.reason)


class Noticed(msgspec.Struct, frozen=True):
    """A notice that a host goes, as its agent found it: in how many milliseconds, and what it says."""

    remaining_millis: int
    reason: str
