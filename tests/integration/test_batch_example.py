"""The README's commands on jobs, with fewer pictures: what they make is compared with what they were given."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import demand
from tests.ground.engine import Engine
from tests.ground.home import ROOT, Home
from tests.integration.test_readme import SHELL_BLOCKS

EXAMPLE = "deploy/examples/pictures"
IMAGE = "shoal-pictures:latest"
PICTURES = 4


@pytest.fixture
def home(engine: Engine, short_folder: Path) -> Iterator[Home]:
    """With the image, which is built once per machine, and chosen ports."""
    lacking = [program for program in ("mmdebstrap", "apt-get") if shutil.which(program) is None]
    demand("" if os.geteuid() == 0 else "building images of packages needs root")
    demand(f"not installed: {', '.join(lacking)}" if lacking else "")
    made = Home(short_folder, engine.host)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    made.types(f"XDG_CACHE_HOME={cache} deploy/pictures-image", timeout_seconds=900)
    made.settle()
    yield made
    made.end()


@pytest.fixture
def example(short_folder: Path) -> Path:
    """The README's files, with fewer pictures in a folder of this test."""
    copied = short_folder / "example"
    shutil.copytree(ROOT / EXAMPLE, copied)
    for file in copied.iterdir():
        text = file.read_text().replace("/srv/pictures", str(short_folder / "pictures"))
        file.write_text(text.replace('"size": 200', f'"size": {PICTURES}'))
    return copied


def test_pictures(home: Home, example: Path, engine: Engine) -> None:
    pictures = home.folder / "pictures"
    said = {}
    for line in SHELL_BLOCKS[2]:
        here = line.replace("/srv/pictures", str(pictures)).replace(EXAMPLE, str(example))
        said[line.removeprefix("shoal job ")] = home.types(here)
    assert f"{PICTURES} SUCCEEDED" in said[f"submit -f {EXAMPLE}/jobs.json --wait"]
    _compare(engine, pictures, [(f"in/{number}.png", f"out/{number}.png") for number in range(PICTURES)])
    _compare(engine, pictures, [("in/1.png", "one.png"), ("in/2.png", "two.png"), ("in/3.png", "three.png")])
    for number in range(PICTURES):
        made = (pictures / "out" / f"{number}.png").read_bytes()
        assert (pictures / "out" / f"{number}.sum").read_text().split()[0] == hashlib.sha256(made).hexdigest()
        assert (pictures / "out" / f"{number}.png").stat().st_uid == 65534, "made by nobody"
    assert (pictures / "montage.png").read_bytes().startswith(b"\x89PNG")
    assert all(name in said["graph montage"] for name in ("draw", "flip", "sums", "montage"))
    assert ElementTree.parse(pictures / "jobs.svg").getroot().tag.endswith("svg")
    (described,) = json.loads(home.types("shoal job describe lost -o json"))["jobs"]
    _check_history(described)
    assert "unable to open image" in said["logs lost --attempt 2"]
    _check_environment(home)


def _compare(engine: Engine, pictures: Path, pairs: list[tuple[str, str]]) -> None:
    """Each of the second, flipped back, has the pixels of the first."""
    run = ("run", "--rm", "--network=none", f"--volume={pictures}:/pictures", "--workdir=/pictures", IMAGE)
    compare = "; ".join(f"convert {made} -flip rgba:- | cmp - {given}.rgba" for given, made in pairs)
    raw = "; ".join(f"convert {given} rgba:{given}.rgba" for given, _ in pairs)
    engine.docker(*run, "sh", "-ec", f"{raw}; {compare}; rm in/*.rgba")
    assert all((pictures / made).read_bytes() != (pictures / given).read_bytes() for given, made in pairs)


def _check_history(job: dict[str, Any]) -> None:
    """The picture is not there: three attempts, by the second rule, each a container of its own."""
    assert job["status"] == "FAILED"
    attempts = job["attempts"]
    assert [each["attempt"] for each in attempts] == [1, 2, 3]
    assert {each["container"]["exitCode"] for each in attempts} == {1}
    assert {(each["matchedRule"], each["action"]) for each in attempts} == {(1, "RETRY")}
    assert len({each["container"]["taskArn"] for each in attempts}) == 3
    assert all(each["container"]["containerInstanceArn"] for each in attempts)
    times = [at for each in attempts for at in (each["startedAt"], each["stoppedAt"])]
    assert times == sorted(times)


def _check_environment(home: Home) -> None:
    """What a child's second attempt finds, though its submission says otherwise of the fence."""
    what = "--queue pictures --definition pictures --name told --array 2 --attempts 2 -e TASK_FENCE=0 --wait"
    home.types(f"shoal job submit {what} --command 'sh -c \"env; exit 3\"' || true")
    job = home.types("shoal job ls --all --name told -o name").strip()
    lines = dict(line.partition("=")[::2] for line in home.types("shoal job logs told:1 --attempt 2").splitlines())
    assert {name: value for name, value in lines.items() if name.startswith("AWS_BATCH_")} == {
        "AWS_BATCH_JOB_ID": f"{job}:1",
        "AWS_BATCH_JOB_ATTEMPT": "2",
        "AWS_BATCH_JOB_ARRAY_INDEX": "1",
        "AWS_BATCH_JOB_ARRAY_SIZE": "2",
        "AWS_BATCH_JQ_NAME": "pictures",
        "AWS_BATCH_CE_NAME": "here",
    }
    assert int(lines["TASK_FENCE"]) > 0
