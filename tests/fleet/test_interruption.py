"""A host that goes at a known time: its tasks hear of it, end in time and go on elsewhere. Real containers on three
hosts; the witness judges."""

import pytest
from shoal import arn
from shoal.v1 import task_pb2

from tests.fleet.test_lost_hosts import run_of
from tests.fleet.watched import BACK_SECONDS, Note, assert_untouched, until_heard
from tests.ground import witness, work
from tests.ground.fleet import Fleet, stop_everything
from tests.ground.repeats import TEN

KINDS = ("", "keep", "exclusive")
PATIENCE_SECONDS = 40.0
SPAN = "12s"
DEAF = ["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"]


@pytest.mark.parametrize("repeat", TEN)
async def test_a_host_that_goes(fleet: Fleet, repeat: int, record_property: Note) -> None:
    host = fleet.hosts[repeat % len(fleet.hosts)]
    count = len(fleet.hosts)
    async with fleet.cluster.client() as client:
        try:
            definition = await work.register(client, fleet.witness.definition("going", stopTimeout=60))
            groups = [await fleet.spread(client, definition, count, on_disconnect=kind or None) for kind in KINDS]
            deaf = await work.register(client, work.definition("deaf", DEAF, stopTimeout=60))
            request = task_pb2.StartTaskRequest(task_definition=deaf, container_instances=[host.instance_id])
            (stubborn,) = (arn.short(task.task_arn) for task in (await client.cluster.StartTask(request)).tasks)
            await work.until_all(client, [stubborn], "RUNNING", PATIENCE_SECONDS)
            before = await until_heard(fleet, [task for group in groups for task in group])
            there = [task for task, (run,) in before.items() if run.instance == host.instance_id]
            elsewhere = {task: runs for task, runs in before.items() if task not in there}
            begun = witness.seconds_since_boot()
            await fleet.says("drain", host.instance_id, "--interruption", SPAN, "--reason", "sold", "--wait")
            record_property("empty_s", round(witness.seconds_since_boot() - begun, 2))
            ended = await work.describe(client, [*there, stubborn])
            deadline = (await fleet.instances(client))[host.name].interruption.deadline
            spare_seconds = (deadline - ended[stubborn].execution_stopped_at) / 1000
            record_property("killed_before_the_deadline_s", round(spare_seconds, 2))
            assert spare_seconds > (0.0 if repeat else -PATIENCE_SECONDS)
            assert {task.stop_code for task in ended.values()} == {"TerminationNotice"}
            assert all(host.name in it.stopped_reason and "(sold)" in it.stopped_reason for it in ended.values())
            # They heard SIGTERM, long before their own time to stop was over; who does not obey is killed in time.
            assert all(run_of(fleet, task).stopped for task in there)
            assert set(work.exit_codes({task: ended[task] for task in there}).values()) == {0}
            assert work.exit_codes({stubborn: ended[stubborn]}) == {stubborn: 137}
            heirs = {task: arn.short(ended[task].replaced_by) for task in there if ended[task].replaced_by}
            assert list(heirs) == there[1:]
            await work.until_all(client, list(heirs.values()), "RUNNING", PATIENCE_SECONDS)
            runs = await until_heard(fleet, list(heirs.values()))
            assert all(run.instance != host.instance_id for (run,) in runs.values())
            record_property("runs_elsewhere_s", round(max(run.began for (run,) in runs.values()) - begun, 2))
            stands_for = {task: task for task in heirs} | {heir: task for task, heir in heirs.items()}
            assert witness.overlapping(fleet.witness.runs(), stands_for) == []
            await assert_untouched(fleet, client, elsewhere)
        finally:
            await fleet.says("activate", host.instance_id)
            await fleet.until_connected(client, [host.name], True, BACK_SECONDS)
            await stop_everything(client)
