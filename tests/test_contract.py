"""The contract: its generated code is what the compiler makes of it, and no client of a release is broken."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEND = "run deploy/generate and commit what it made"


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The contract's descriptors, as buf reads them."""
    path = tmp_path_factory.mktemp("contract") / "contract.binpb"
    made = run("deploy/generate", "--image", str(path))
    assert made.returncode == 0, made.stderr
    return str(path)


def test_the_generated_code_is_what_the_compiler_makes(tmp_path: Path) -> None:
    made = run("deploy/generate", "--into", str(tmp_path))
    assert made.returncode == 0, made.stderr
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*_pb2*")}
    committed = {
        path.relative_to(ROOT): path.read_bytes()
        for folder in ("proto", "scheduler")
        for path in (ROOT / folder).rglob("*_pb2*")
        if path.suffix in (".py", ".pyi")
    }
    stale = sorted(str(path) for path in fresh if fresh[path] != committed.get(path))
    left_over = sorted(str(path) for path in committed.keys() - fresh.keys())
    assert not stale, MEND
    assert not left_over, "no proto file makes these any more: remove them"


def test_the_contract_follows_the_style_of_its_kind(image: str) -> None:
    checked = run("buf", "lint", image, "--path", "shoal", "--config", "buf.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_client_of_the_released_contract_is_broken(image: str) -> None:
    checked = run(
        "buf", "breaking", image, "--path", "shoal", "--against", "proto/released.binpb", "--config", "buf.yaml"
    )
    assert checked.returncode == 0, (
        f"{checked.stdout}{checked.stderr}\nFields are only added. If nobody uses the release yet, "
        "deploy/generate --release declares the contract anew."
    )
