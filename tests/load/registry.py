"""The image registry beside Docker Distribution, both with TLS and bearer tokens, on one machine and in one run.

    python -m tests.load.registry [--quick] [--json FILE] [--rounds N] [--workers N]

Each figure is taken in turn on every side, round after round, and the table has the medians and the ratio to
Distribution's. Sides: Distribution as the system's package has it; this registry with its contents encrypted, which is
the default; and without. The clients are curl (pushes as Docker does them: POST, PATCH, PUT) and wrk, on the same
machine: what they cost is part of both sides. Needs docker-registry, curl and wrk.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jwt
import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.ground.certificates import Certificates
from tests.ground.distribution import Distribution
from tests.ground.image_registry import ImageRegistry
from tests.load import report
from tests.registry.client import CONFIG, IMAGE, LAYER, descriptor, image_manifest

MIB = 1024 * 1024
REPOSITORY = "bench/image"
SERVICE, ISSUER = "registry", "bench"
CONNECTIONS = 32
PULLS_AT_ONCE = 32
PUSHES_AT_ONCE = 8
RSS_LOOK_SECONDS = 0.05
# What is asked for: the ratio to Distribution's figure.
WANTED = {
    ("push", "encrypted"): 1.0,
    ("push", "plain"): 1.0,
    ("pull", "encrypted"): 0.4,
    ("pull", "plain"): 0.5,
    ("32 pulls", "encrypted"): 0.5,
    ("32 pulls", "plain"): 0.5,
    ("manifests by digest", "encrypted"): 0.8,
    ("manifests by digest", "plain"): 0.8,
    ("manifests by tag", "encrypted"): 0.8,
    ("manifests by tag", "plain"): 0.8,
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes, and seconds that requests for manifests go on."""

    layer: int
    many: int
    huge: int
    seconds: int


class Signer:
    """Of tokens for Distribution, which knows the certificate of whoever signs them."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)]), datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.path = folder / "tokens.crt"
        self.path.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def token(self) -> str:
        now = int(time.time())
        access = {"type": "repository", "name": REPOSITORY, "actions": ["pull", "push"]}
        claims = {"iss": ISSUER, "sub": "bench", "aud": SERVICE, "iat": now, "nbf": now - 10, "exp": now + 86_400}
        chain = [base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode()]
        return jwt.encode(
            {**claims, "jti": str(now), "access": [access]}, self._key, algorithm="ES256", headers={"x5c": chain}
        )


@dataclass(frozen=True, slots=True)
class Side:
    name: str
    url: str
    authority: Path
    pid: int
    token: Callable[[], str]

    def curl(self, *arguments: str) -> str:
        """What it wrote. Raises with what it said."""
        command = ["curl", "--silent", "--show-error", "--fail", "--cacert", str(self.authority), "--http1.1"]
        done = subprocess.run(
            [*command, "--header", f"Authorization: Bearer {self.token()}", *arguments], capture_output=True, text=True
        )
        assert done.returncode == 0, f"{self.name}: {done.stderr}"
        return done.stdout

    def push(self, path: Path, digest: str) -> None:
        """As Docker does it."""
        begun = self.curl("--include", "--request", "POST", f"{self.url}/v2/{REPOSITORY}/blobs/uploads/")
        there = self._located(begun)
        sent = self.curl("--include", "--request", "PATCH", "--upload-file", str(path), *BYTES, *NO_EXPECT, there)
        there = self._located(sent)
        joint = "&" if "?" in there else "?"
        self.curl("--request", "PUT", *BYTES, "--data-binary", "", f"{there}{joint}digest={digest}")

    def _located(self, answer: str) -> str:
        found = re.search(r"^location: *(\S+)", answer, re.IGNORECASE | re.MULTILINE)
        assert found, f"{self.name}: {answer}"
        return found[1] if found[1].startswith("https://") else self.url + found[1]

    def pull(self, digest: str, times: int = 1) -> None:
        urls = [part for _ in range(times) for part in ("--output", "/dev/null", self.blob(digest))]
        at_once = ("--parallel", "--parallel-immediate", "--parallel-max", str(times)) if times > 1 else ()
        self.curl(*at_once, *urls)

    def blob(self, digest: str) -> str:
        return f"{self.url}/v2/{REPOSITORY}/blobs/{digest}"

    def manifests(self, reference: str, seconds: int) -> float:
        """How many a second are answered."""
        command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"]
        accepted = ("--header", f"Accept: {IMAGE}", "--header", f"Authorization: Bearer {self.token()}")
        url = f"{self.url}/v2/{REPOSITORY}/manifests/{reference}"
        done = subprocess.run([*command, *accepted, url], capture_output=True, text=True, check=True)
        assert "Non-2xx" not in done.stdout, f"{self.name}: {done.stdout}"
        found = re.search(r"Requests/sec: *([\d.]+)", done.stdout)
        assert found, done.stdout
        return float(found[1])

    def processes(self) -> list[psutil.Process]:
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]


BYTES = ("--header", "Content-Type: application/octet-stream")
NO_EXPECT = ("--header", "Expect:")


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def written(path: Path, size: int) -> str:
    """A file that no compression makes smaller; its digest."""
    hashed, left = hashlib.sha256(), size
    with path.open("wb") as file:
        while left:
            piece = os.urandom(min(left, 8 * MIB))
            hashed.update(piece)
            file.write(piece)
            left -= len(piece)
    return f"sha256:{hashed.hexdigest()}"


def push_image(side: Side, folder: Path) -> str:
    """A small one, tagged `v1`, with twenty layers as images have; the digest of its manifest."""
    blobs = [b"{}", *(f"layer {number}".encode() for number in range(20))]
    for content in blobs:
        path = folder / "small"
        path.write_bytes(content)
        side.push(path, f"sha256:{hashlib.sha256(content).hexdigest()}")
    manifest = image_manifest(descriptor(blobs[0], CONFIG), [descriptor(content, LAYER) for content in blobs[1:]])
    (folder / "manifest").write_text(json.dumps(manifest))
    sent = ("--request", "PUT", "--header", f"Content-Type: {IMAGE}", "--data-binary", f"@{folder / 'manifest'}")
    side.curl(*sent, f"{side.url}/v2/{REPOSITORY}/manifests/v1")
    return f"sha256:{hashlib.sha256((folder / 'manifest').read_bytes()).hexdigest()}"


def most_memory(side: Side, work: Callable[[], object]) -> float:
    """MiB that the largest of its processes had at most while that was done."""
    most, over = 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(RSS_LOOK_SECONDS):
            most = max(most, *(process.memory_info().rss for process in side.processes()))

    watching = threading.Thread(target=look)
    watching.start()
    try:
        work()
    finally:
        over.set()
        watching.join()
    return most / MIB


def all_at_once(work: Callable[[], object], times: int) -> None:
    async def run() -> None:
        await asyncio.gather(*(asyncio.to_thread(work) for _ in range(times)))

    asyncio.run(run())


def measure(sides: list[Side], sizes: Sizes, rounds: int, folder: Path) -> dict[str, dict[str, list[float]]]:
    """MB/s, or answers a second, by what was measured and by side."""
    figures: dict[str, dict[str, list[float]]] = {}

    def note(what: str, side: Side, figure: float) -> None:
        figures.setdefault(what, {}).setdefault(side.name, []).append(figure)
        print(f"{what:22} {side.name:14} {figure:10.1f}", file=sys.stderr)

    layer, many = folder / "layer", folder / "many"
    many_digest = written(many, sizes.many)
    manifests = {side.name: push_image(side, folder) for side in sides}
    for side in sides:
        side.push(many, many_digest)
    for number in range(rounds):
        digest = written(layer, sizes.layer)
        # Who comes first has the file in no cache but all have: the order turns.
        for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
            # What another left for the disk to do, as Distribution leaves whole layers, is not this one's to wait for.
            os.sync()
            note("push", side, sizes.layer / 1e6 / seconds(partial(side.push, layer, digest)))
            note("pull", side, sizes.layer / 1e6 / seconds(partial(side.pull, digest)))
            pulled = sizes.many * PULLS_AT_ONCE / 1e6
            took = seconds(partial(side.pull, many_digest, PULLS_AT_ONCE))
            note(f"{PULLS_AT_ONCE} pulls", side, pulled / took)
            note("manifests by digest", side, side.manifests(manifests[side.name], sizes.seconds))
            note("manifests by tag", side, side.manifests("v1", sizes.seconds))
    return figures


def memory(sides: list[Side], sizes: Sizes, folder: Path) -> dict[str, float]:
    """MiB of the largest process while several huge layers are pushed at once."""
    huge = folder / "huge"
    digest = written(huge, sizes.huge)
    return {
        side.name: most_memory(side, partial(all_at_once, partial(side.push, huge, digest), PUSHES_AT_ONCE))
        for side in sides
    }


def start(folder: Path, workers: int) -> tuple[list[Side], list[Callable[[], None]]]:
    """The sides, and what ends them."""
    certificates, signer = Certificates(folder / "certificates"), Signer(folder)
    auth = {
        "realm": "https://127.0.0.1/token",
        "service": SERVICE,
        "issuer": ISSUER,
        "rootcertbundle": str(signer.path),
    }
    distribution = Distribution(folder / "distribution", certificates, {"token": auth})
    distribution.start()
    sides = [Side("distribution", distribution.url, distribution.authority, distribution.pid, signer.token)]
    ends = [distribution.end]
    operator = certificates.files("operator", "bench")
    for name, options in {"encrypted": (), "plain": ("--no-encryption",)}.items():
        ours = ImageRegistry(folder / name, certificates, (*options, "--workers", str(workers)), is_open=False)
        ours.start()
        ends.append(ours.end)

        def token(ours: ImageRegistry = ours) -> str:
            command = ["curl", "--silent", "--show-error", "--fail", "--cacert", str(ours.authority)]
            asked = f"{ours.url}/token?scope=repository:{REPOSITORY}:pull,push"
            shown = ("--cert", str(operator.certificate), "--key", str(operator.key))
            done = subprocess.run([*command, *shown, asked], capture_output=True, text=True, check=True)
            return str(json.loads(done.stdout)["token"])

        sides.append(Side(name, ours.url, ours.authority, ours.pid, Remembered(token)))
    return sides, ends


class Remembered:
    """A token, asked for anew every minute."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._asked_at = 0.0
        self._token = ""

    def __call__(self) -> str:
        if time.monotonic() - self._asked_at > 60 or not self._token:
            self._token, self._asked_at = self._ask(), time.monotonic()
        return self._token


def show(figures: Mapping[str, Mapping[str, list[float]]], most: Mapping[str, float], workers: int) -> dict[str, Any]:
    rows, stored = [], dict[str, dict[str, Any]]()
    for what, by_side in figures.items():
        medians = {name: median(values) for name, values in by_side.items()}
        stored[what] = {"median": medians, "all": by_side}
        for name in list(medians)[1:]:
            ratio, wanted = medians[name] / medians["distribution"], WANTED[what, name]
            stored[what].setdefault("ratio", {})[name] = ratio
            verdict = "yes" if ratio >= wanted else "NO"
            rows.append((what, name, f"{medians['distribution']:.0f}", f"{medians[name]:.0f}", ratio, wanted, verdict))
    title = f"Medians: MB/s, or answers a second; {workers} worker processes"
    report.show(title, ("what", "side", "distribution", "ours", "ratio", "asked", "reached"), rows)
    report.show(
        f"{PUSHES_AT_ONCE} pushes at once",
        ("side", "MiB of its largest process", "asked"),
        [(name, f"{value:.0f}", "<= 200") for name, value in most.items()],
    )
    return {"figures": stored, "memory_mib": dict(most), "workers": workers}


def main() -> None:
    parser = report.arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="of this project's registry")
    given = parser.parse_args()
    for program in ("docker-registry", "curl", "wrk"):
        if not shutil.which(program):
            sys.exit(f"{program} is not installed: apt-get install docker-registry curl wrk")
    sizes = Sizes(16 * MIB, 4 * MIB, 32 * MIB, 1) if given.quick else Sizes(256 * MIB, 64 * MIB, 1024 * MIB, 5)
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        sides, ends = start(Path(folder), given.workers)
        try:
            figures = measure(sides, sizes, 1 if given.quick else given.rounds, Path(folder))
            most = memory(sides, sizes, Path(folder))
        finally:
            for end in ends:
                end()
    report.store(given.json, show(figures, most, given.workers))


if __name__ == "__main__":
    main()
