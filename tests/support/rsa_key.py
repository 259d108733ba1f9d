"""A private RSA key in PEM, and a certificate for it, made anew for each run."""

import datetime as dt
import functools

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def private_pem(passphrase: str = "") -> str:
    """Return the private key, encrypted if there is a passphrase."""
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return _key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def public_pem() -> str:
    """Return the public key."""
    return _key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def certificate_pem() -> str:
    """Return a certificate for the key that it signs itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an application")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(_key().public_key())
    builder = builder.serial_number(5).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return builder.sign(_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()
