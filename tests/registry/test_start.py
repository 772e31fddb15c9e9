"""What keeps the registry from starting is said in a line or two, by the name of what is wrong."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ground.image_registry import ROOT, ImageRegistry

PATHS = os.pathsep.join(str(ROOT / part) for part in ("proto", "registry"))


def started(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "shoal_registry", *map(str, arguments)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": PATHS}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--listen", "7680", "is no HOST:PORT"),
        ("--listen", "127.0.0.1:70000", "is no HOST:PORT"),
        ("--store", "s3:/bucket/prefix", "write s3://bucket/prefix"),
        ("--store", "/proc/none", "/proc/none: No such file"),
        ("--certificate", "/no/such.crt", "/no/such.crt: No such file"),
        ("--certificate", __file__, "are no certificate and its key"),
        ("--authority", "/no/such.crt", "/no/such.crt: No such file"),
        ("--token-key", __file__, "is no key as the registry makes it"),
    ],
)
def test_what_is_wrong_is_named(
    image_registry: ImageRegistry, tmp_path: Path, option: str, value: str, said: str
) -> None:
    issued = image_registry.certificates.files("registry", "registry")
    given = {
        "--listen": "127.0.0.1:0",
        "--store": tmp_path / "store",
        "--certificate": issued.certificate,
        "--key": issued.key,
        "--authority": image_registry.authority,
        "--master-key": tmp_path / "master.key",
    }
    ended = started(*(each for pair in {**given, option: value}.items() for each in pair))
    assert ended.returncode in (1, 2)
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_another_has_is_said(image_registry: ImageRegistry, tmp_path: Path, workers: str) -> None:
    issued = image_registry.certificates.files("registry", "registry")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = started(
            *("--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--store", tmp_path / "store", "--open"),
            *("--certificate", issued.certificate, "--key", issued.key, "--workers", workers, "--no-encryption"),
        )
    assert ended.returncode == 1
    assert "ddress already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("ends", "code", "said"),
    [
        ("None", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('it is so')", 1, "it is so"),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_a_program_that_leaves_at_once_leaves_as_python_would(ends: str, code: int, said: str) -> None:
    text = f"import sys\nfrom shoal_registry import leave\ndef main():\n    print('done')\n    {ends}\nleave.run(main)"
    environment = os.environ | {"PYTHONPATH": PATHS}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, said in done.stderr) == (code, "done\n", True), done
