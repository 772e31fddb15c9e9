"""What the registry is told at its start."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shoal_registry.storage import places
from shoal_registry.storage.places import Place
from shoal_registry.storage.protection import Wanted

PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Configuration:
    """`listen` is host:port; `store` where everything is kept; the certificate and its key are PEM files, as are the
    authority, of which clients may have a certificate, and the key that signs tokens.

    `worker` is the number of this process among the `workers` that serve the same port; None if it is the only one, or
    the one that starts them. `protection` is how contents are kept; they are read again every `scrub_days`, or never.
    """

    listen: str
    store: Place
    certificate: Path
    key: Path
    upload_grace_seconds: float
    workers: int
    worker: int | None
    protection: Wanted
    garbage_grace_seconds: float
    collect_every_seconds: float
    lifecycle_every_seconds: float
    is_open: bool
    authority: Path | None
    token_key: Path
    scrub_days: float | None
    scrub_mib_per_second: float


def parse(arguments: Sequence[str] | None = None) -> Configuration:
    parser = argparse.ArgumentParser(prog="shoal_registry", description="The image registry of shoal.")
    parser.add_argument(
        "--listen", type=_address, default="127.0.0.1:7680", metavar="HOST:PORT", help="where engines dial"
    )
    add_store(parser)
    parser.add_argument("--certificate", required=True, type=Path, help="this registry's certificate")
    parser.add_argument("--key", required=True, type=Path, help="the key of the certificate")
    parser.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="NUMBER",
        help="how many processes serve; auto: one for each core that this one may use; 1 by default",
    )
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    _add_rights(parser)
    _add_graces(parser)
    add_protection(parser)
    parser.add_argument(
        "--encrypt-from-now-on",
        action="store_true",
        help="a store that is not encrypted becomes one: what is in it can still be pulled",
    )
    parser.add_argument(
        "--scrub-days",
        type=_positive,
        metavar="DAYS",
        help="every content is read again that often, to find damage; never by default",
    )
    add_scrub_rate(parser)
    given = parser.parse_args(arguments)
    token_key = (given.token_key or given.key.parent / "token.key").absolute()
    if places.is_within(token_key, given.store):
        parser.error(f"--token-key: {token_key} lies in the store, with whose copies it would go about")
    protection = wanted(parser, given, token_key.with_name("master.key"))
    protection = replace(protection, from_now_on=given.encrypt_from_now_on)
    return Configuration(
        listen=given.listen,
        store=given.store,
        certificate=given.certificate,
        key=given.key,
        upload_grace_seconds=given.upload_grace_seconds,
        workers=given.workers,
        worker=given.worker,
        protection=protection,
        is_open=given.is_open,
        authority=given.authority,
        token_key=token_key,
        garbage_grace_seconds=given.garbage_grace_seconds,
        collect_every_seconds=given.collect_every,
        lifecycle_every_seconds=given.lifecycle_every,
        scrub_days=given.scrub_days,
        scrub_mib_per_second=given.scrub_mib_per_second,
    )


def _add_rights(parser: argparse.ArgumentParser) -> None:
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


def _add_graces(parser: argparse.ArgumentParser) -> None:
    """How long what may still be wanted stays."""
    parser.add_argument(
        "--upload-grace-seconds",
        type=_positive,
        default=24 * 3600.0,
        metavar="SECONDS",
        help="how long an upload of which nothing is heard can be resumed; a day by default",
    )
    add_garbage_grace(parser)
    parser.add_argument(
        "--collect-every",
        type=_positive,
        default=3600.0,
        metavar="SECONDS",
        help="how often garbage is collected; an hour by default",
    )
    parser.add_argument(
        "--lifecycle-every",
        type=_positive,
        default=3600.0,
        metavar="SECONDS",
        help="how often lifecycle policies are applied; an hour by default",
    )


def add_garbage_grace(parser: argparse.ArgumentParser) -> None:
    """Of every program that collects garbage."""
    parser.add_argument(
        "--garbage-grace-seconds",
        type=_positive,
        default=24 * 3600.0,
        metavar="SECONDS",
        help="how long what nothing leads to stays, and a pushed blob may wait for its manifest; a day by default",
    )


def add_store(parser: argparse.ArgumentParser) -> None:
    """Of every program that opens a store."""
    parser.add_argument(
        "--store",
        required=True,
        type=_place,
        metavar="PLACE",
        help="where images are kept: a folder; or s3://bucket/prefix, with AWS_ENDPOINT_URL, AWS_REGION, "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    )


def _place(text: str) -> Place:
    try:
        return places.parse(text, os.environ)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_protection(parser: argparse.ArgumentParser) -> None:
    """The options of every program that opens a store."""
    encryption = parser.add_mutually_exclusive_group()
    encryption.add_argument(
        "--master-key",
        type=Path,
        metavar="FILE",
        help="by which the store is encrypted; made for a new store; without it nobody can read the store, so keep a "
        "copy; by default master.key beside the token key",
    )
    encryption.add_argument(
        "--no-encryption", action="store_true", help="whoever gets at the store, or a backup of it, can read it"
    )


def add_scrub_rate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scrub-mib-per-second",
        type=_positive,
        default=32.0,
        metavar="MIB",
        help="how fast a scrub reads; 32 by default",
    )


def wanted(parser: argparse.ArgumentParser, given: argparse.Namespace, default: Path | None) -> Wanted:
    """Ends the program if the master key would lie in the store."""
    if given.no_encryption:
        return Wanted(None)
    if (path := given.master_key or default) is None:
        parser.error("give --master-key FILE, with which the registry was started, or --no-encryption")
    if places.is_within(path, given.store):
        parser.error(
            f"--master-key: {path} lies in the store: whoever gets at a backup of that would have the key, too"
        )
    return Wanted(path.absolute())


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is no HOST:PORT, as in 0.0.0.0:7680")
    return text


def _count(text: str) -> int:
    value = len(os.sched_getaffinity(0)) if text == "auto" else int(text)
    if not 1 <= value <= 256:
        raise argparse.ArgumentTypeError("must be from 1 to 256")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("must be more than 0, and less than 1,000,000,000")
    return value
