"""Where this scheduler stands among the others, for whoever asks: does it lead, who does, and how far has it come."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import now_millis
from shoal_scheduler.standby import Standby


def _nothing_to_release() -> None:
    return


@dataclass(slots=True)
class Standing:
    """`leader` and `leader_endpoint` are of who leads, as far as it is known; empty while nobody does.

    store_is_away: it was asked last in vain.
    release: begins to hand leadership over, where this scheduler has it.
    """

    name: str = ""
    endpoint: str = ""
    leader: str = ""
    leader_endpoint: str = ""
    store_is_away: bool = False
    plane: ControlPlane | None = None
    standby: Standby | None = None
    since: int = field(default_factory=now_millis)
    release: Callable[[], None] = _nothing_to_release

    def stands_by(self, standby: Standby) -> None:
        self.standby, self.plane = standby, None
        self.leader = self.leader_endpoint = ""
        self.since, self.release = now_millis(), _nothing_to_release

    def leads(self, plane: ControlPlane, release: Callable[[], None]) -> None:
        self.plane, self.standby = plane, None
        self.leader, self.leader_endpoint = self.name, self.endpoint
        self.since, self.release = plane.led_since, release

    def follows(self, leader: str, endpoint: str) -> None:
        """Who leads now; nobody, if empty."""
        self.leader, self.leader_endpoint = leader, endpoint

    def steps_down(self) -> None:
        self.plane = None
        self.leader = self.leader_endpoint = ""
        self.release = _nothing_to_release
