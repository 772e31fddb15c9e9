"""Who this agent is: the URI in its own certificate, `shoal://<cluster>/agent/<instance id>`."""

import ssl

from shoal.rpc import Identity

# A URI among a certificate's alternative names is [6] IA5String: this tag, one byte of length, the text.
_URI_TAG = 0x86


class NotAnAgent(ValueError):  # noqa: N818 - the name says what is wrong
    """The certificate does not name an agent."""


def identity_of(certificate_pem: bytes) -> Identity:
    """The agent a PEM certificate names. Raises NotAnAgent.

    Reads one's own file, which the authority made: it finds the URI by its encoding. A whole X.509 parser would
    cost every agent eight megabytes for one line of text.
    """
    try:
        encoded = ssl.PEM_cert_to_DER_cert(certificate_pem.decode("ascii"))
    except ValueError as error:
        raise NotAnAgent(f"the certificate is not a PEM file ({error}); ask for a new one") from None
    start = encoded.find(b"shoal://")
    while start >= 2:
        length = encoded[start - 1]
        if encoded[start - 2] == _URI_TAG and length < 0x80:
            identity = Identity.parse(encoded[start : start + length].decode("ascii", "replace"))
            if identity is not None and identity.role == "agent":
                return identity
        start = encoded.find(b"shoal://", start + 1)
    raise NotAnAgent("the certificate names no agent; it must carry a URI shoal://<cluster>/agent/<instance id>")
