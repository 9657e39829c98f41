"""The federation's own certificate authority, the broker's certificate, and how a client checks it.

Knows no member and no connection: members are known by their NKeys, certificates only say that this is the federation's broker.
"""

import datetime
import ipaddress
import re
import ssl
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cpods.errors import UsageError

#: How long certificates hold. The authority lives as long as the federation: members have it pinned.
AUTHORITY_DAYS = 20 * 365
SERVER_DAYS = 10 * 365
#: Certificates hold from a day ago: the clock of a member may be behind.
_BACK = datetime.timedelta(days=1)
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z", re.IGNORECASE)


def new_authority(federation: str = "cpods") -> tuple[str, str]:
    """(key, certificate), both PEM: EC P-256, may sign server certificates only directly."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"cpods federation {federation}"[:64])
    builder = _builder(name, name, key.public_key(), AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return _key_pem(key), _pem(builder.sign(key, hashes.SHA256()))


def server_certificate(authority: tuple[str, str], hosts: Sequence[str]) -> tuple[str, str]:
    """(key, certificate), both PEM, for a server that is reached by these names and IP addresses.

    ``authority``: (key, certificate) as :func:`new_authority` gives them. Raises UsageError if they or a host are none.
    """
    authority_key, issuer = _authority(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [_alternative(host) for host in hosts]
    if not names:
        raise UsageError("a broker needs at least one host name or address by which it is reached")
    builder = _builder(_name("cpods broker"), issuer.subject, key.public_key(), SERVER_DAYS)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return _key_pem(key), _pem(builder.sign(authority_key, hashes.SHA256()))


def client_context(ca_pem: str) -> ssl.SSLContext:
    """How a client connects: TLS 1.3, this authority alone, and the host name must be right.

    ``ca_pem`` empty, for an external broker: the authorities that the system trusts. Raises UsageError if it is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not ca_pem:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, TypeError, ValueError) as error:
        raise UsageError(f"the federation's certificate is no certificate in PEM form: {error}") from error
    return context


def _authority(authority: tuple[str, str]) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        key = load_pem_private_key(authority[0].encode(), None)
        certificate = x509.load_pem_x509_certificate(authority[1].encode())
    except (ValueError, TypeError) as error:
        raise UsageError("the key or the certificate of the federation's authority cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise UsageError("the key of the federation's authority does not belong to its certificate")
    return key, certificate


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not _HOST_NAME.match(name):
        raise UsageError(f"{host!r} is neither a host name nor an IP address")
    return x509.DNSName(name)


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _BACK).not_valid_after(now + datetime.timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
