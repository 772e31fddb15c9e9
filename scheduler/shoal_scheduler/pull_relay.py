"""Pairs a caller who has images pulled with the streams that agents open to say how they get on."""

import secrets
from dataclasses import dataclass, field

from shoal.v1 import image_pb2

from shoal_scheduler.engine import Unavailable
from shoal_scheduler.log_relay import Pipe
from shoal_scheduler.model.refusal import Refused

# Of all callers together.
PULLS_MAX = 512
_NO_LEADER = "this scheduler does not lead any more, and what was being pulled ended with that: pull again"


@dataclass(slots=True)
class Pull:
    """On one instance. Only the agent of that instance of that cluster may answer."""

    cluster: str
    instance: str
    progress: Pipe[image_pb2.PullProgress] = field(default_factory=Pipe)
    is_answered: bool = False


class PullRelay:
    def __init__(self) -> None:
        self._pulls: dict[str, Pull] = {}
        self._is_closed = False

    def open(self, cluster: str, instance: str) -> tuple[str, Pipe[image_pb2.PullProgress]]:
        """Raises Unavailable or Refused."""
        if self._is_closed:
            raise Unavailable(_NO_LEADER)
        if len(self._pulls) >= PULLS_MAX:
            raise Refused(
                "exhausted",
                f"{PULLS_MAX} instances are pulling images ahead, which is as many as there may be: wait for some.",
                reason="LimitExceededException",
            )
        request_id = secrets.token_hex(16)
        self._pulls[request_id] = pull = Pull(cluster, instance)
        return request_id, pull.progress

    def answer(self, request_id: str, cluster: str, instance: str) -> Pipe[image_pb2.PullProgress] | None:
        """Of what the agent of that instance was asked for with this id, once."""
        pull = self._pulls.get(request_id)
        if pull is None or pull.is_answered or (pull.cluster, pull.instance) != (cluster, instance):
            return None
        pull.is_answered = True
        return pull.progress

    def close(self, request_id: str) -> None:
        """Nobody waits any more, or it is over."""
        if pull := self._pulls.pop(request_id, None):
            pull.progress.abandon()

    def close_all(self) -> None:
        self._is_closed = True
        for request_id, pull in list(self._pulls.items()):
            pull.progress.end(_NO_LEADER)
            self.close(request_id)
