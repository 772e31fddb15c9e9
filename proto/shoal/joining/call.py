"""One HTTPS request to a scheduler. It is known by its authority and its role, whatever address it has."""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoal.errors import Denied, LimitExceeded, Refused, ShoalError, Unreachable

# shoal.rpc.SERVER_NAME, without loading grpc here.
SERVER_NAME = "scheduler.shoal"
CALL_SECONDS = 10.0
ANSWER_BYTES_MAX = 256 * 1024


def trusting(authority_pem: bytes, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Whoever holds a scheduler's certificate of this authority; shows the certificate, if one is given."""
    context = ssl.create_default_context(cadata=authority_pem.decode("ascii"))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def unverified() -> ssl.SSLContext:
    """Anybody: for what is public, and is compared with what is known."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ask(
    endpoint: str, tls: ssl.SSLContext, method: str, path: str, document: Mapping[str, object] | None = None
) -> bytes:
    """The body of a good answer. Raises Denied, LimitExceeded or Refused as the scheduler says, Unreachable if it
    cannot say or is not the leader, or is not known by `tls`."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise Refused(f"{endpoint!r} is not HOST:PORT, as in 10.0.0.5:7601.")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=CALL_SECONDS)
    try:
        plain = socket.create_connection((host.strip("[]"), int(port)), CALL_SECONDS)
        connection.sock = tls.wrap_socket(plain, server_hostname=SERVER_NAME)
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read(ANSWER_BYTES_MAX)
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"{endpoint} is no scheduler of this cluster: {error.verify_message}.",
            "Somebody may stand between: check the address.",
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{endpoint} does not answer: {error}.", "Is this its HTTPS port?") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise _error(endpoint, answer.status, content)
    return content


def _error(endpoint: str, status: int, content: bytes) -> ShoalError:
    try:
        said = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        said = f"status {status}"
    kinds: dict[int, type[ShoalError]] = {403: Denied, 429: LimitExceeded, 503: Unreachable}
    kind = kinds.get(status, Refused if 400 <= status < 500 else Unreachable)
    return kind(f"{endpoint}: {said}")


def answered(content: bytes, *fields: str) -> list[Any]:
    """These fields of a JSON object. Raises Unreachable if that is not what came."""
    try:
        document = json.loads(content)
        return [document[field] for field in fields]
    except (ValueError, KeyError, TypeError):
        raise Unreachable("The answer is not that of a scheduler.") from None
