"""Tells the fake scheduler which instance it is, by a file, and waits to be ended."""

import argparse
import signal
from pathlib import Path

from cryptography import x509
from shoal.rpc import Identity

parser = argparse.ArgumentParser()
for name in ("--scheduler", "--state", "--authority", "--certificate", "--key", "--docker-host"):
    parser.add_argument(name, required=True)
arguments = parser.parse_args()

certificate = x509.load_pem_x509_certificate(Path(arguments.certificate).read_bytes())
names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
(uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
identity = Identity.parse(uri)
assert identity is not None
Path(arguments.state, "instance_id").write_text(identity.name)
signal.pause()
