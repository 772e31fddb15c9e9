"""What the registry is told at its start."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Configuration:
    """`listen` is host:port; `store` the folder that holds everything; the certificate and its key are PEM files,
    as are the authority, of which clients may have a certificate, and the key that signs tokens."""

    listen: str
    store: Path
    certificate: Path
    key: Path
    upload_grace_seconds: float
    garbage_grace_seconds: float
    collect_every_seconds: float
    is_open: bool
    authority: Path | None
    token_key: Path


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
        "--garbage-grace-seconds",
        type=_positive,
        default=24 * 3600.0,
        metavar="SECONDS",
        help="how long what nothing leads to stays, and a pushed blob may wait for its manifest; a day by default",
    )
    parser.add_argument(
        "--collect-every",
        type=_positive,
        default=3600.0,
        metavar="SECONDS",
        help="how often garbage is collected; an hour by default",
    )
    parser.add_argument(
        "--open",
        action="store_true",
        dest="is_open",
        help="anybody may push, pull and delete: for trials, on loopback",
    )
    parser.add_argument(
        "--authority", type=Path, metavar="FILE", help="whose client certificates are known: the cluster's authority"
    )
    parser.add_argument(
        "--token-key",
        type=Path,
        metavar="FILE",
        help="what tokens are signed with; the same for all processes of a registry; made if it is missing; token.key "
        "beside the certificate's key by default",
    )
    given = parser.parse_args(arguments)
    token_key = (given.token_key or given.key.parent / "token.key").absolute()
    if token_key.is_relative_to(given.store.absolute()):
        parser.error(f"--token-key: {token_key} lies in the store, with whose copies it would go about")
    return Configuration(
        given.listen,
        given.store,
        given.certificate,
        given.key,
        given.upload_grace_seconds,
        given.garbage_grace_seconds,
        given.collect_every,
        given.is_open,
        given.authority,
        token_key,
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("must be more than 0, and less than 1,000,000,000")
    return value
