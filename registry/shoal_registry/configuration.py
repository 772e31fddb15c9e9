"""What the registry is told at its start."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Configuration:
    """`listen` is host:port; `store` the folder that holds everything; the certificate and its key are PEM files."""

    listen: str
    store: Path
    certificate: Path
    key: Path
    upload_grace_seconds: float
    is_open: bool


def parse(arguments: Sequence[str] | None = None) -> Configuration:
    parser = argparse.ArgumentParser(prog="shoal_registry", description="The image registry of shoal.")
    parser.add_argument("--listen", default="127.0.0.1:7680", metavar="HOST:PORT", help="where engines dial")
    parser.add_argument("--store", required=True, type=Path, metavar="FOLDER", help="where images are kept")
    parser.add_argument("--certificate", required=True, type=Path, help="this registry's certificate")
    parser.add_argument("--key", required=True, type=Path, help="the key of the certificate")
    parser.add_argument(
        "--upload-grace-seconds",
        type=_positive,
        default=24 * 3600.0,
        metavar="SECONDS",
        help="how long an upload of which nothing is heard can be resumed; a day by default",
    )
    parser.add_argument(
        "--open",
        action="store_true",
        dest="is_open",
        help="anybody may push, pull and delete: for trials, on loopback",
    )
    given = parser.parse_args(arguments)
    return Configuration(
        given.listen, given.store, given.certificate, given.key, given.upload_grace_seconds, given.is_open
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("must be more than 0, and less than 1,000,000,000")
    return value
