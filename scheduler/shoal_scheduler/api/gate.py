"""Holds the control plane while this process leads, and nothing otherwise."""

from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import Unavailable


class Gate:
    def __init__(self) -> None:
        self._plane: ControlPlane | None = None

    def open(self, plane: ControlPlane) -> None:
        self._plane = plane

    def close(self) -> None:
        self._plane = None

    @property
    def is_open(self) -> bool:
        return self._plane is not None

    @property
    def plane(self) -> ControlPlane:
        """Raises Unavailable on a scheduler that does not lead."""
        if self._plane is None:
            raise Unavailable("this scheduler does not lead (yet): try again, or try another one")
        return self._plane
