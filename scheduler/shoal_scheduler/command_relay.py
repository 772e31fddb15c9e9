"""Pairs a caller who executes a command with the stream that the instance's agent opens to run it."""

import secrets
from dataclasses import dataclass, field

from shoal.v1 import command_pb2

from shoal_scheduler.log_relay import Pipe
from shoal_scheduler.model.refusal import Refused

# Each may hold what waits for a slow reader.
COMMANDS_MAX = 256


@dataclass(slots=True)
class Exchange:
    """One command. Only the agent of that instance of that cluster may answer."""

    cluster: str
    instance: str
    inputs: Pipe[command_pb2.CommandInput] = field(default_factory=Pipe)
    outputs: Pipe[command_pb2.CommandOutput] = field(default_factory=Pipe)
    is_answered: bool = False

    def end(self, reason: str) -> None:
        self.outputs.end(reason)
        self.outputs.abandon()
        self.inputs.end(reason)
        self.inputs.abandon()


class CommandRelay:
    def __init__(self) -> None:
        self._exchanges: dict[str, Exchange] = {}

    def open(self, cluster: str, instance: str) -> tuple[str, Exchange]:
        """Raises Refused."""
        if len(self._exchanges) >= COMMANDS_MAX:
            raise Refused(
                "exhausted",
                f"{COMMANDS_MAX} commands are being executed, which is as many as there may be: end one of them.",
                reason="LimitExceededException",
            )
        request_id = secrets.token_hex(16)
        self._exchanges[request_id] = exchange = Exchange(cluster, instance)
        return request_id, exchange

    def answer(self, request_id: str, cluster: str, instance: str) -> Exchange | None:
        """What the agent of that instance was asked for with this id, once."""
        exchange = self._exchanges.get(request_id)
        if exchange is None or exchange.is_answered or (exchange.cluster, exchange.instance) != (cluster, instance):
            return None
        exchange.is_answered = True
        return exchange

    def close(self, request_id: str) -> None:
        """The caller is gone, or has all there was."""
        if exchange := self._exchanges.pop(request_id, None):
            exchange.end("the caller is gone")

    def close_all(self) -> None:
        for request_id, exchange in list(self._exchanges.items()):
            exchange.end("this scheduler does not lead any more, and the command ended with that: execute it again")
            self.close(request_id)
