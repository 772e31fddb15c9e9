"""The cluster's certificate authority and the certificates it issues.

    <folder>/authority.crt, authority.key      P-256, ten years; the key stays where it was made
    <folder>/<file>.crt, <file>.key            one year; names its holder as shoal://<cluster>/<role>/<name>

A host that joins makes its key itself and sends a request; what it is issued lives a day.

Everything here may be called again at any time: what exists and is still good is kept, what has less than a
third of its life left is issued anew. Files appear whole (written beside, then renamed); keys are readable by
their owner only.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shoal.rpc import SERVER_NAME, Identity
from shoal.whole_file import write_whole

ETCD_NAME = "etcd.shoal"

# What agents are called by where they are servers: for scrapers of their metrics.
AGENT_NAME = "agent.shoal"
AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=365)
# A peer whose clock is a little behind must not refuse a certificate as "not yet valid".
BACKDATE = timedelta(minutes=5)
RENEW_BELOW = 1 / 3

Key = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates. `path` is what every peer is given to verify with."""

    certificate: x509.Certificate
    key: Key
    path: Path


@dataclass(frozen=True, slots=True)
class Issued:
    """Where a certificate and its key lie."""

    certificate: Path
    key: Path


def ensure_authority(folder: Path, cluster: str, now: datetime) -> Authority:
    """The authority kept in `folder`, made at the first call.

    Raises ValueError if it has expired: a new authority is a new cluster, so nobody makes one silently.
    """
    path, key_path = folder / "authority.crt", folder / "authority.key"
    if path.exists() and key_path.exists():
        authority = Authority(_load_certificate(path), read_key(key_path), path)
        if life_left(authority.certificate, now) <= 0:
            raise ValueError(f"the cluster's authority {path} has expired")
        return authority
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _authority_certificate(key, cluster, now)
    write_private(key_path, key)
    write_whole(path, certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate, key, path)


def ensure_certificate(
    authority: Authority,
    folder: Path,
    file: str,
    identity: Identity,
    now: datetime,
    names: Sequence[str] = (),
) -> Issued:
    """A certificate that names `identity`, for servers and clients alike; kept while it is good.

    names: further DNS names or addresses a server is called by; a scheduler's and etcd's own are known.
    """
    issued = Issued(folder / f"{file}.crt", folder / f"{file}.key")
    wanted = [*_server_names(identity.role), *names]
    if issued.certificate.exists() and issued.key.exists():
        present = _load_certificate(issued.certificate)
        if _is_good(present, authority, identity, wanted, now):
            return issued
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _leaf_certificate(authority, key, identity, wanted, now)
    write_private(issued.key, key)
    write_whole(issued.certificate, certificate.public_bytes(serialization.Encoding.PEM))
    return issued


def load_authority(certificate: Path, key: Path) -> Authority:
    """From its files. Raises ValueError if they do not belong together, OSError if one cannot be read."""
    authority = Authority(_load_certificate(certificate), read_key(key), certificate)
    if authority.certificate.public_key() != authority.key.public_key():
        raise ValueError(f"{key} is not the key of {certificate}")
    return authority


def write_private(path: Path, key: Key) -> None:
    """Readable by its owner only."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_whole(path, pem, 0o600)


def issue_to_agent(
    authority: Authority, public_key: PublicKey, identity: Identity, now: datetime, life: timedelta
) -> x509.Certificate:
    """A certificate by which an agent calls, and by which those know it that scrape its metrics: as an agent, never as
    a scheduler or etcd, whose names clients demand."""
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return _signed(authority, public_key, identity, (AGENT_NAME,), (now - BACKDATE, now + life), usages)


def requested_key(request_pem: bytes) -> PublicKey:
    """The key of a certificate request whose sender has the private one. What else it asks for is not looked at:
    names are given, never taken. Raises ValueError."""
    request = x509.load_pem_x509_csr(request_pem)
    if not request.is_signature_valid:
        raise ValueError("its signature is not that of its key")
    return agents_key(request.public_key())


def agents_key(key: object) -> PublicKey:
    """Raises ValueError."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise ValueError("its key must be one of the curve P-256")
    return key


def fingerprint(key: PublicKey) -> str:
    """SHA-256 in hexadecimal digits."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def identity_in(certificate: x509.Certificate) -> Identity | None:
    """Whom it names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return next((identity for uri in uris if (identity := Identity.parse(uri))), None)


def life_left(certificate: x509.Certificate, now: datetime) -> float:
    """What share of the certificate's life is left, from 1.0 (new) down to 0.0 (expired) and below."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (end - now) / (end - begin)


def read_certificate(path: Path) -> x509.Certificate:
    """Raises ValueError if the file holds no certificate, OSError if it cannot be read."""
    return _load_certificate(path)


def read_key(path: Path) -> Key:
    """Raises ValueError if the file holds no such key, OSError if it cannot be read."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no elliptic curve key")
    return key


def _server_names(role: str) -> list[str]:
    if role == "scheduler":
        return [SERVER_NAME]
    if role == "etcd":
        return [ETCD_NAME, "localhost", "127.0.0.1"]
    return [AGENT_NAME] if role == "agent" else []


def _is_good(
    certificate: x509.Certificate,
    authority: Authority,
    identity: Identity,
    names: Sequence[str],
    now: datetime,
) -> bool:
    if certificate.issuer != authority.certificate.subject or life_left(certificate, now) < RENEW_BELOW:
        return False
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # another authority of the same name: issue anew, whatever the library calls it
        return False
    present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(present) == set(_alternative_names(identity, names))


def _alternative_names(identity: Identity, names: Sequence[str]) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(identity.uri), *(_name(name) for name in names)]


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _authority_certificate(key: Key, cluster: str, now: datetime) -> x509.Certificate:
    # The serial makes the name unique, so that two clusters of one name are never taken for each other.
    serial = x509.random_serial_number()
    name = _subject(f"shoal {cluster[:30]} authority {serial % 16**8:08x}")
    public = key.public_key()
    return (
        x509.CertificateBuilder(name, name, public, serial, now - BACKDATE, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf_certificate(
    authority: Authority, key: Key, identity: Identity, names: Sequence[str], now: datetime
) -> x509.Certificate:
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return _signed(authority, key.public_key(), identity, names, (now - BACKDATE, now + CERTIFICATE_LIFE), usages)


def _signed(
    authority: Authority,
    key: PublicKey,
    identity: Identity,
    names: Sequence[str],
    life: tuple[datetime, datetime],
    usages: Sequence[x509.ObjectIdentifier],
) -> x509.Certificate:
    # Never longer than the authority itself.
    begin, end = life[0], min(life[1], authority.certificate.not_valid_after_utc)
    subject, issuer = _subject(f"{identity.role} {identity.name[:40]}"), authority.certificate.subject
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), begin, end)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(identity, names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _load_certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())
