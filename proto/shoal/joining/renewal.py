"""A new certificate for the key a host already has. Blocks: call it in a thread."""

from collections.abc import Sequence

from shoal.errors import Denied, ShoalError, Unreachable
from shoal.joining.call import answered, ask, trusting
from shoal.joining.identity import IdentityFiles
from shoal.joining.token import proof_of
from shoal.whole_file import write_whole


def renew(files: IdentityFiles, endpoints: Sequence[str], *, run_out: bool) -> bytes:
    """Asks one scheduler after another; what came is in its file when this returns it (PEM).

    run_out: the certificate cannot be shown any more, so the key proves itself by a signature.
    Raises Denied if the identity was revoked, else what the last scheduler said.
    """
    failure: ShoalError = Unreachable("No scheduler is known.")
    for endpoint in endpoints:
        try:
            renewed = _proving(files, endpoint) if run_out else _showing(files, endpoint)
        except Denied:
            raise
        except ShoalError as error:
            failure = error
            continue
        (certificate,) = answered(renewed, "certificate")
        write_whole(files.certificate, certificate.encode())
        return bytes(certificate.encode())
    raise failure


def _showing(files: IdentityFiles, endpoint: str) -> bytes:
    tls = trusting(files.authority.read_bytes(), files.certificate, files.key)
    return ask(endpoint, tls, "POST", "/renew")


def _proving(files: IdentityFiles, endpoint: str) -> bytes:
    # Needed by a host that was away for a day, and 8 MiB: not by every agent.
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from shoal.certificates import read_key

    tls = trusting(files.authority.read_bytes())
    (nonce,) = answered(ask(endpoint, tls, "GET", "/nonce"), "nonce")
    signature = read_key(files.key).sign(proof_of(nonce), ec.ECDSA(hashes.SHA256()))
    proof = {"certificate": files.certificate.read_text(), "nonce": nonce, "signature": signature.hex()}
    return ask(endpoint, tls, "POST", "/renew", proof)
