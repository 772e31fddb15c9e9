"""The conformance suite can fail: a registry that is known not to conform to version 1.1 fails where it does not."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import demand
from tests.ground import distribution
from tests.registry.conftest import REGISTRY_VARIABLE

ROOT = Path(__file__).parent.parent.parent
# What Distribution 2.8 lacks, each with a test that shows it.
FAILS = (
    "test_discovery.py::test_referrers[True]",
    "test_discovery.py::test_as_many_tags_as_asked_for[3]",
    "test_discovery.py::test_tags_after_the_last",
    "test_management.py::test_a_tag_is_deleted_alone",
    "test_pull.py::test_parts_that_are_not_there[9-5]",
    "test_push.py::test_put_closes_it_with_the_whole_blob[x-sha512]",
    "test_push.py::test_one_post_may_hold_the_whole_blob[sha256]",
)
# And what every registry can: the suite does not fail for want of something that it took for granted.
PASSES = (
    "test_pull.py::test_blobs",
    "test_pull.py::test_manifests[True]",
    "test_push.py::test_put_closes_it_with_the_whole_blob[x-sha256]",
    "test_push.py::test_chunks_come_in_order[True]",
    "test_push.py::test_an_index_of_several_architectures",
    "test_push.py::test_a_blob_is_mounted_from_another_repository",
)


def test_distribution_fails_the_suite() -> None:
    demand(distribution.missing())
    command = [sys.executable, "-m", "pytest", "-rA", "--tb=no", "-p", "no:cacheprovider", "tests/registry/conformance"]
    environment = {**os.environ, REGISTRY_VARIABLE: "distribution"}
    # That run clears its folder away at its end, and ours would be the same.
    environment.pop("SHOAL_TEST_FOLDER", None)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    found = re.findall(r"^(PASSED|FAILED) \S*/(test_\w+\.py::\S+)", done.stdout, re.MULTILINE)
    results = {name: result for result, name in found}
    assert {name: results.get(name) for name in FAILS} == dict.fromkeys(FAILS, "FAILED"), done.stdout
    assert {name: results.get(name) for name in PASSES} == dict.fromkeys(PASSES, "PASSED"), done.stdout
