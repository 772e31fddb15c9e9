"""Why tasks end, in ECS's words: each provoked on a real engine and read through the API."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from shoal.v1 import task_pb2

from tests.ground import work
from tests.ground.cluster import Cluster

TRUE, SLEEP = ["true"], ["sleep", "600"]


class _EmptyRegistry(BaseHTTPRequestHandler):
    """Is one, and has nothing."""

    def do_GET(self) -> None:
        is_the_api = self.path == "/v2/"
        content = json.dumps({} if is_the_api else {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no"}]}).encode()
        self.send_response(200 if is_the_api else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - the name it overrides

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it overrides
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    """Its address, which engines take without TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _EmptyRegistry)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


async def test_every_way_to_end_has_its_code_and_its_reason(cluster: Cluster, registry: str) -> None:
    FAILED, EXITED = "TaskFailedToStart", "EssentialContainerExited"  # noqa: N806
    hungry = ["sh", "-c", "sleep 0.5; tail /dev/zero; sleep 0.5; exit 5"]
    syslog = {"logDriver": "syslog", "options": {"syslog-address": "tcp://127.0.0.1:1"}}
    unknown_option = {"logConfiguration": {"logDriver": "json-file", "options": {"nobody": "1"}}}
    unreachable_log = {"logConfiguration": syslog}
    # By what is wrong: the container, the code, how the reason begins, what else it says, the exit code.
    ways: dict[str, tuple[dict[str, Any], str, str, str, int | None]] = {
        "unknown": ({"image": f"{registry}/nobody:1"}, FAILED, "CannotPullContainerError: ", "not found", None),
        "unreachable": ({"image": "127.0.0.1:1/web:1"}, FAILED, "CannotPullContainerError: ", "refused", None),
        "allowed": ({"privileged": True}, FAILED, "CannotCreateContainerError: ", "privileged", None),
        "option": (unknown_option, FAILED, "CannotCreateContainerError: ", "unknown log opt", None),
        "log": (unreachable_log, FAILED, "ResourceInitializationError: ", "refused", None),
        "program": ({"command": ["nobody"]}, FAILED, "CannotStartContainerError: ", "nobody", None),
        "entry": ({"entryPoint": ["/bin"]}, FAILED, "CannotStartContainerError: ", "permission denied", None),
        "memory": ({"command": hungry}, EXITED, "OutOfMemoryError: Container killed due to memory usage", "", 5),
        "exit": ({"command": ["sh", "-c", "exit 3"]}, EXITED, "Essential container in task exited", "", 3),
        "stopped": ({"command": SLEEP, "stopTimeout": 2}, "UserInitiated", "enough", "", 137),
    }
    async with cluster.client() as client:
        ids = {}
        for name, (container, *_) in ways.items():
            definition = work.definition(f"ends-{name}", TRUE)
            definition["containerDefinitions"][0] |= container
            (ids[name],) = await work.run(client, await work.register(client, definition))
        await work.until_all(client, [ids["stopped"]], "RUNNING")
        await client.cluster.StopTask(task_pb2.StopTaskRequest(task=ids["stopped"], reason="enough"))
        ended = await work.until_all(client, list(ids.values()), "STOPPED", 60.0)
    codes = work.exit_codes(ended)
    for name, (_, stop_code, beginning, words, exit_code) in ways.items():
        task = ended[ids[name]]
        assert (name, task.stop_code, codes[ids[name]]) == (name, stop_code, exit_code)
        assert task.stopped_reason.startswith(beginning) and words in task.stopped_reason, task.stopped_reason
        if beginning.partition(":")[0].endswith("Error"):
            assert task.containers[0].reason.startswith(beginning)
