"""How a container's health is asked for and where its output goes, as the engine was told."""

from tests.fields.conftest import MakeRun
from tests.fields.running import container, definition

SECOND = 1_000_000_000


def test_health_check(task: MakeRun) -> None:
    check = {"command": ["CMD-SHELL", "exit 0"], "interval": 6, "timeout": 4, "retries": 2, "startPeriod": 9}
    made = task(definition(container("true", healthCheck=check))).create()
    assert made["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "exit 0"],
        "Interval": 6 * SECOND,
        "Timeout": 4 * SECOND,
        "Retries": 2,
        "StartPeriod": 9 * SECOND,
    }


def test_health_check_defaults(task: MakeRun) -> None:
    made = task(definition(container("true", healthCheck={"command": ["CMD", "true"]}))).create()
    found = made["Config"]["Healthcheck"]
    assert (found["Interval"], found["Timeout"], found["Retries"]) == (30 * SECOND, 5 * SECOND, 3)


def test_log_options(task: MakeRun) -> None:
    options = {"max-size": "1m", "max-file": "2"}
    log = {"logDriver": "json-file", "options": options}
    made = task(definition(container("true", logConfiguration=log))).create()
    assert made["HostConfig"]["LogConfig"]["Type"] == "json-file"
    assert options.items() <= made["HostConfig"]["LogConfig"]["Config"].items()
