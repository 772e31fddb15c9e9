"""What a killed parent leaves is taken in and collected; children of our own are left to whoever waits for them."""

import subprocess
import sys

PROGRAM = """
import os, subprocess, sys, time
from pathlib import Path
from shoal.supervisor import orphans

orphans.take_in()
parent = subprocess.Popen(["sh", "-c", "sleep 0.05 & echo $!"], stdout=subprocess.PIPE, text=True)
orphan = int(parent.stdout.readline())
parent.wait()
ours = subprocess.Popen(["true"])
deadline = time.monotonic() + 10
taken = []
while orphan not in taken and time.monotonic() < deadline:
    taken += orphans.collect_once({ours.pid})
    time.sleep(0.01)
assert orphan in taken, (orphan, taken)
assert ours.pid not in taken
assert ours.wait(10) == 0
assert not Path(f"/proc/{orphan}").exists()
"""


def test_orphans_are_collected_and_our_own_children_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
