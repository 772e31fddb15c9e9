"""When the agents were last heard: in memory only, for what is said every few seconds must never cost a write."""

from dataclasses import dataclass, field

# A program that did not come to listen for so long may have missed any of them.
HELD_UP_SECONDS = 5.0


@dataclass(slots=True)
class Heard:
    """Seconds of a clock that never goes back. Nobody counts as silent since before this process began to lead: each
    instance has its full deadline to find the new leader."""

    led_since: float
    last: dict[str, float] = field(default_factory=dict)
    _listened_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._listened_at = self.led_since

    def begin(self, now: float) -> None:
        """This process leads from now on."""
        self.led_since = self._listened_at = now

    def note(self, instance: str, now: float) -> None:
        """Its agent has said something."""
        self.last[instance] = now

    def listen(self, now: float) -> None:
        """Called all the time. Who was held up, by a pause of the process or a store that did not answer, begins anew
        like a new leader: what was not heard meanwhile says nothing of the instances."""
        if now - self._listened_at > HELD_UP_SECONDS:
            self.led_since = now
        self._listened_at = now

    def silent_since(self, instance: str) -> float:
        return max(self.led_since, self.last.get(instance, self.led_since))
