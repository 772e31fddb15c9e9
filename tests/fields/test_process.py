"""What runs in a container, as whom, where, and with which environment and terminal: looked at from inside."""

from pathlib import Path

import pytest
from shoal_agent.configuration import Configuration

from tests.fields.conftest import MakeRun
from tests.fields.running import Ran, container, definition
from tests.ground.images import BUSYBOX

LOOK = """
echo "user: $(id -u):$(id -g)"
echo "folder: $(pwd)"
echo "host: $(hostname)"
echo "first: $FIRST"
echo "empty: ${EMPTY-unset}"
echo "only in a file: $ONLY_IN_FILE"
echo "in two files: $IN_TWO_FILES"
echo "in a file, too: $IN_FILE_TOO"
echo "arguments: $0 $1"
echo "standard input: $(readlink /proc/self/fd/0)"
echo "terminal: $(tty)"
"""


@pytest.fixture(scope="module")
def ran(task: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("environment")
    (folder / "one.env").write_text("# a comment\n\nONLY_IN_FILE=a b\nIN_TWO_FILES=one\nIN_FILE_TOO=file\n")
    (folder / "two.env").write_text("IN_TWO_FILES=two\n")
    files = [{"type": "file", "value": f"file://{folder / name}"} for name in ("one.env", "two.env")]
    app = container(
        entryPoint=["sh", "-c"],
        command=[LOOK, "zero", "one"],
        user="1234:2345",
        workingDirectory="/tmp/work",
        hostname="box-1",
        environment=[
            {"name": "FIRST", "value": "1 = one"},
            {"name": "EMPTY", "value": ""},
            {"name": "IN_FILE_TOO", "value": "definition"},
        ],
        environmentFiles=files,
        interactive=True,
        stopTimeout=7,
        dockerLabels={"team": "web", "org.example/tier": "1"},
    )
    rules = Configuration(environment_file_folders=(str(folder),))
    return task(definition(app), rules=rules).to_the_end()


def test_image_and_name(ran: Ran) -> None:
    assert ran.inspected["Config"]["Image"] == BUSYBOX
    assert ran.inspected["Name"].endswith(".app")


def test_entry_point_and_command(ran: Ran) -> None:
    assert ran.inspected["Config"]["Entrypoint"] == ["sh", "-c"]
    assert ran.said["arguments"] == "zero one"


def test_user(ran: Ran) -> None:
    assert ran.said["user"] == "1234:2345"


def test_working_directory(ran: Ran) -> None:
    assert ran.said["folder"] == "/tmp/work"


def test_hostname(ran: Ran) -> None:
    assert ran.said["host"] == "box-1"


def test_environment(ran: Ran) -> None:
    assert (ran.said["first"], ran.said["empty"]) == ("1 = one", "")


def test_environment_files(ran: Ran) -> None:
    """ECS's order: the first of several files, and the definition before any."""
    assert ran.said["only in a file"] == "a b"
    assert ran.said["in two files"] == "one"
    assert ran.said["in a file, too"] == "definition"


def test_interactive(ran: Ran) -> None:
    assert ran.said["standard input"].startswith("pipe:")


def test_stop_timeout(ran: Ran) -> None:
    assert ran.inspected["Config"]["StopTimeout"] == 7


def test_docker_labels(ran: Ran) -> None:
    assert {"team": "web", "org.example/tier": "1"}.items() <= ran.inspected["Config"]["Labels"].items()


def test_pseudo_terminal(task: MakeRun, ran: Ran) -> None:
    with_one = task(definition(container('echo "terminal: $(tty)"', pseudoTerminal=True))).to_the_end()
    assert with_one.said["terminal"].startswith("/dev/pts/")
    assert ran.said["terminal"] == "not a tty"


def test_files_outside_the_listed_folders_are_not_read(task: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "web.env").write_text("A=1\n")
    link = tmp_path / "allowed" / "link.env"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "web.env")
    for path in (tmp_path / "web.env", link):
        app = container("true", environmentFiles=[{"type": "file", "value": f"file://{path}"}])
        run = task(definition(app), rules=Configuration(environment_file_folders=(str(link.parent),)))
        with pytest.raises(Exception, match=r"environmentFiles\[0\]\.value: .* is not below any path"):
            run.specification()
