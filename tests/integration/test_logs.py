"""`shoal logs` of a whole cluster: several tasks at once, over kills of the agent and the scheduler, after the end."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.waiting import wait_until

COUNT = 400
SCRIPT = (
    f"i=0; while [ $i -lt {COUNT} ]; do i=$((i+1)); echo $i; [ $((i % 40)) = 0 ] && sleep 0.7; done; "
    "echo end >&2; exit 0"
)
LOG = {"logDriver": "awslogs", "options": {"awslogs-group": "/shoal/test", "awslogs-stream-prefix": "p"}}


def of(lines: Sequence[str], label: str) -> list[str]:
    """What one of several containers wrote."""
    parts = (line.partition(" | ") for line in lines)
    return [text for name, _, text in parts if name.strip() == label]


async def test_two_tasks_are_followed_over_kills_and_read_when_all_is_over(cluster: Cluster) -> None:
    async with cluster.client() as client:
        named = await work.register(client, work.definition("logs", ["sh", "-c", SCRIPT], logConfiguration=LOG))
        ids = await work.run(client, named, count=2)
        await work.until_all(client, ids, "RUNNING")
        command = [sys.executable, "-m", "shoal.cli", "logs", "--follow", "--log-group", "/shoal/test"]
        following = await asyncio.create_subprocess_exec(
            *command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        output = asyncio.create_task(following.communicate())
        try:
            await asyncio.sleep(1.5)  # somewhere in the middle
            for program in ("agent", "scheduler"):
                killed = cluster.kill(program)
                await wait_until(lambda: cluster.has_restarted(program, killed), timeout_seconds=30)  # noqa: B023
                await asyncio.sleep(0.5)
            await work.until_all(client, ids, "STOPPED")
            out, err = await asyncio.wait_for(output, 60.0)
        finally:
            if following.returncode is None:
                following.kill()
                await output
    written = [str(number) for number in range(1, COUNT + 1)]
    for id_ in ids:
        stream = f"p/logs/{id_}"
        assert of(out.decode().splitlines(), stream) == written
        assert of(err.decode().splitlines(), stream) == ["end"]
    assert following.returncode == 0
    assert cluster.shoal("logs", ids[0]).stdout.splitlines() == written
    assert cluster.shoal("logs", ids[0], "--tail", "2").stdout.splitlines() == written[-1:]
    both = cluster.shoal("logs", *ids, "--timestamps").stdout.splitlines()
    clocks = [line.partition(" | ")[2].partition(" ")[0] for line in both]
    assert len(both) == 2 * COUNT and clocks == sorted(clocks)
