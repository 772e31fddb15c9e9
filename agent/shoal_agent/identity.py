"""Who this agent is: the URI in its own certificate, `shoal://<cluster>/agent/<instance id>`, and how long it is good.

Both are found by their encoding: a whole X.509 parser would cost every agent eight megabytes for a few lines of text.
"""

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from shoal.rpc import Identity

# A URI among a certificate's alternative names is [6] IA5String: this tag, one byte of length, the text.
_URI_TAG = 0x86

# The validity is a sequence of two times, each a UTCTime or, from 2050 on, a GeneralizedTime.
_TIME = rb"(?:\x17\x0d([0-9]{12})Z|\x18\x0f([0-9]{14})Z)"
_VALIDITY = re.compile(rb"\x30[\x1e-\x22]" + _TIME + _TIME, re.DOTALL)

# A certificate begins so long before it is issued, for clocks that are behind.
BACKDATE_SECONDS = 300.0


class NotAnAgent(ValueError):  # noqa: N818 - the name says what is wrong
    """The certificate does not name an agent."""


def identity_of(certificate_pem: bytes) -> Identity:
    """The agent a PEM certificate names: one's own, which the authority made. Raises NotAnAgent."""
    encoded = _der(certificate_pem)
    start = encoded.find(b"shoal://")
    while start >= 2:
        length = encoded[start - 1]
        if encoded[start - 2] == _URI_TAG and length < 0x80:
            identity = Identity.parse(encoded[start : start + length].decode("ascii", "replace"))
            if identity is not None and identity.role == "agent":
                return identity
        start = encoded.find(b"shoal://", start + 1)
    raise NotAnAgent("the certificate names no agent; it must carry a URI shoal://<cluster>/agent/<instance id>")


@dataclass(frozen=True, slots=True)
class Validity:
    """In seconds since 1970."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """From when it was issued."""
        return self.end - self.begin - BACKDATE_SECONDS

    @property
    def renew_at(self) -> float:
        """Half of its life is left then."""
        return self.end - self.seconds / 2


def validity_of(certificate_pem: bytes) -> Validity:
    """Raises NotAnAgent."""
    found = _VALIDITY.search(_der(certificate_pem))
    if found is None:
        raise NotAnAgent("the certificate does not say how long it is good; ask for a new one")
    begin, end = (_seconds(found[short], found[long]) for short, long in ((1, 2), (3, 4)))
    return Validity(begin, end)


def _seconds(short: bytes | None, long: bytes | None) -> float:
    # Two digits of the year are of 1950 to 2049.
    digits = (long or b"").decode() or f"{'19' if (short or b'') >= b'5' else '20'}{(short or b'').decode()}"
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()


def _der(certificate_pem: bytes) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(certificate_pem.decode("ascii"))
    except ValueError as error:
        raise NotAnAgent(f"the certificate is not a PEM file ({error}); ask for a new one") from None
