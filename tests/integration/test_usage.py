"""`shoal usage` of a real task, by group, by day and for a spreadsheet."""

import csv
import io
import json

import pytest

from tests.ground import work
from tests.ground.cluster import Cluster


async def test_what_a_task_used(cluster: Cluster) -> None:
    async with cluster.client() as client:
        (task,) = await work.run(client, await work.register(client, work.definition("metered", ["sleep", "1"])))
        await work.until_all(client, [task], "STOPPED", 60.0)
    described = json.loads(cluster.shoal("describe", task, "-o", "json").stdout)
    used = json.dumps(described)
    assert '"vcpuSeconds"' in used

    records = json.loads(cluster.shoal("usage", "-o", "json").stdout)["records"]
    (metered,) = [record for record in records if record["group"] == "family:metered"]
    assert metered["stoppedTasksCount"] == 1
    assert metered["usage"]["vcpuSeconds"] >= 8 / 1024  # a second of 8 cpu units

    rows = list(csv.DictReader(io.StringIO(cluster.shoal("usage", "-o", "csv").stdout)))
    (row,) = [row for row in rows if row["group"] == "family:metered"]
    assert float(row["vcpuSeconds"]) == pytest.approx(metered["usage"]["vcpuSeconds"], abs=0.001)

    by_group = cluster.shoal("usage").stdout.splitlines()
    assert by_group[0].split() == ["GROUP", "TASKS", "VCPU-HOURS", "GIB-HOURS", "GPU-HOURS"]
    assert any(line.split()[:2] == ["family:metered", "1"] for line in by_group)
    by_day = cluster.shoal("usage", "--by", "day", "--since", "1d").stdout.splitlines()
    assert by_day[1].split()[0] == metered["day"]
    refused = cluster.shoal("usage", "--since", "yesterday", check=False)
    assert refused.returncode == 2 and "duration" in refused.stderr
