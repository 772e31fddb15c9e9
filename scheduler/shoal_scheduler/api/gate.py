"""Holds the control plane while this process leads; otherwise it knows who does, as far as that is known."""

import asyncio
import contextlib

from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.standing import Standing

# While nobody leads, a call waits so long for a leader, here or elsewhere: its caller need not ask again and again.
HELD_SECONDS_MAX = 1.5
STORE_IS_AWAY = (
    "etcd does not answer, or has lost most of its members, and nothing can be stored until they are back;"
    " what runs goes on"
)


class NotLeading(Unavailable):
    """`leader` is the endpoint of the scheduler that leads; empty if that is not known."""

    def __init__(self, leader: str, store_is_away: bool = False) -> None:
        where = f"{leader} does" if leader else STORE_IS_AWAY if store_is_away else "try again, or try another one"
        super().__init__(f"this scheduler does not lead (yet): {where}")
        self.leader = leader


class Gate:
    def __init__(self, standing: Standing | None = None) -> None:
        self.standing = standing or Standing()
        self._plane: ControlPlane | None = None
        self._news = asyncio.Event()
        self._ended = False

    def open(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.look_again()

    def close(self) -> None:
        self._plane = None

    def end(self) -> None:
        """This process will not lead any more: nobody is to wait here."""
        self._ended = True
        self.look_again()

    def look_again(self) -> None:
        """Something became known of who leads."""
        self._news.set()
        self._news = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._plane is not None

    @property
    def plane(self) -> ControlPlane:
        """Raises NotLeading on a scheduler that does not lead."""
        if self._plane is None:
            raise NotLeading(self.standing.leader_endpoint, self.standing.store_is_away)
        return self._plane

    async def until_known(self) -> ControlPlane:
        """The same, but while nobody leads it waits a little for somebody."""
        if self._plane is not None:
            return self._plane
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HELD_SECONDS_MAX):
                while self._plane is None and not self.standing.leader_endpoint and not self._ended:
                    await self._news.wait()
        return self.plane
