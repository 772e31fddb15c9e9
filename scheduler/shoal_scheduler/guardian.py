"""`python -m shoal_scheduler.guardian ...`: runs a scheduler, with the same arguments, and proves its death.

A scheduler that dies without a word keeps its lease, and nobody leads until that has lapsed. A lost connection proves
nothing; the kernel's word to the parent does. So this parent waits for its child, and once it has certainly ended it
gives the child's lease back, if the leader's key still names that very process: another scheduler leads at once.

It does not start the scheduler again: whoever started this process (`shoal up`, systemd, a container's engine) does,
and knows how long to wait between tries. It leaves with the child's exit code. Until then it loads next to nothing.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal_scheduler.configuration import Configuration

CALL_TIMEOUT_SECONDS = 1.0
# Past this the lease has lapsed by itself.
GIVE_UP_SECONDS = 5.0
RETRY_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1
_KILLED = 128


def main() -> int:
    arguments = sys.argv[1:]
    child = _start([sys.executable, "-P", "-m", "shoal_scheduler", *arguments])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:  # who ends in order has given its lease back
        _say(f"the scheduler ended pid={child} code={code}: {give_lease_back(arguments, child)}")
    return code if code >= 0 else _KILLED - code


def _start(command: list[str]) -> int:
    """The child's pid. It dies with this process: nobody would wait for it any more."""
    parent, libc = os.getpid(), ctypes.CDLL(None)
    child = os.fork()
    if child == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
        os.execv(command[0], command)
    return child


def give_lease_back(arguments: Sequence[str], child: int) -> str:
    """What became of it, in words. `child` has ended; `arguments` are what it was started with."""
    from shoal_scheduler import configuration

    config = configuration.parse(arguments)
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while True:
        try:
            return _give_back(config, child)
        except OSError as error:
            if time.monotonic() > give_up:
                return f"etcd did not answer, its lease lapses by itself: {error}"
        time.sleep(RETRY_SECONDS)


def _give_back(config: "Configuration", child: int) -> str:
    """Raises OSError if etcd does not answer."""
    import grpc
    from shoal.rpc import Credentials

    from shoal_scheduler.state import etcd_v3_pb2 as pb
    from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
    from shoal_scheduler.state import keys
    from shoal_scheduler.state.etcd import etcd_channel_options, etcd_target

    loaded = Credentials.load(config.authority, config.certificate, config.key)
    credentials = grpc.ssl_channel_credentials(loaded.authority, loaded.key, loaded.certificate)
    try:
        with grpc.secure_channel(etcd_target(config.etcd), credentials, options=etcd_channel_options()) as channel:
            found = pb_grpc.KVStub(channel).Range(pb.RangeRequest(key=keys.LEADER), timeout=CALL_TIMEOUT_SECONDS)
            if not found.kvs:
                return "nobody leads"
            if not names(found.kvs[0].value, child, socket.gethostname(), _boot()):
                return "it did not lead"
            request = pb.LeaseRevokeRequest(ID=found.kvs[0].lease)
            pb_grpc.LeaseStub(channel).LeaseRevoke(request, timeout=CALL_TIMEOUT_SECONDS)
            return "it led, and its lease is given back"
    except grpc.RpcError as error:
        raise ConnectionError(str(error.details()) if isinstance(error, grpc.Call) else str(error)) from None


def names(leader: bytes, pid: int, host: str, boot: str) -> bool:
    """True if the leader's key names that process of that boot of that host.

    >>> names(b'{"pid": 7, "host": "a", "boot": "b"}', 7, "a", "b"), names(b"a:7600:7", 7, "a", "b")
    (True, False)
    """
    try:
        said: Any = json.loads(leader)
    except ValueError:
        return False
    return isinstance(said, Mapping) and (said.get("pid"), said.get("host"), said.get("boot")) == (pid, host, boot)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _say(words: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} guardian: {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
