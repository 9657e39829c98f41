"""A client connects to the federation's own broker and to nothing else: real handshakes on loopback."""

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from cpods.errors import UsageError
from cpods.net.certificates import client_context, new_authority, server_certificate

AUTHORITY = new_authority("lab")
OTHER = new_authority("lab")
HOSTS = ("127.0.0.1", "::1", "localhost", "broker.example.org")


def server_context(folder: Path, pair: tuple[str, str], newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A server with this (key, certificate)."""
    (folder / "key.pem").write_text(pair[0])
    (folder / "cert.pem").write_text(pair[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.maximum_version = newest
    return context


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "127.0.0.1") -> str:
    """The TLS version that both agree on. Raises what the client finds wrong."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=server)
    port = listening.sockets[0].getsockname()[1]
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        version = writer.get_extra_info("ssl_object").version()
        writer.close()
        await writer.wait_closed()
        return str(version)
    finally:
        listening.close()
        await listening.wait_closed()


@pytest.mark.parametrize("name", HOSTS)
def test_the_own_broker_by_each_of_its_names(tmp_path: Path, name: str) -> None:
    server = server_context(tmp_path, server_certificate(AUTHORITY, HOSTS))
    assert asyncio.run(handshake(server, client_context(AUTHORITY[1]), name)) == "TLSv1.3"


def test_also_with_the_strict_rules_of_later_releases_of_python(tmp_path: Path) -> None:
    """They want key identifiers and critical constraints."""
    client = client_context(AUTHORITY[1])
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    server = server_context(tmp_path, server_certificate(AUTHORITY, HOSTS))
    assert asyncio.run(handshake(server, client)) == "TLSv1.3"


def test_another_authority_of_the_same_name_is_refused(tmp_path: Path) -> None:
    server = server_context(tmp_path, server_certificate(OTHER, HOSTS))
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(handshake(server, client_context(AUTHORITY[1])))


def test_another_host_name_is_refused(tmp_path: Path) -> None:
    server = server_context(tmp_path, server_certificate(AUTHORITY, ["broker.example.org"]))
    for name in ("127.0.0.1", "other.example.org"):
        with pytest.raises(ssl.SSLCertVerificationError, match="(?i)mismatch"):
            asyncio.run(handshake(server, client_context(AUTHORITY[1]), name))


def test_a_brokers_certificate_makes_no_further_ones(tmp_path: Path) -> None:
    """Whoever steals the broker's key can play this broker, no other one."""
    stolen = server_certificate(AUTHORITY, HOSTS)
    further = server_certificate(stolen, HOSTS)
    server = server_context(tmp_path, (further[0], further[1] + stolen[1]))
    with pytest.raises(ssl.SSLCertVerificationError, match="invalid CA certificate"):
        asyncio.run(handshake(server, client_context(AUTHORITY[1])))


def test_older_tls_is_refused(tmp_path: Path) -> None:
    server = server_context(tmp_path, server_certificate(AUTHORITY, HOSTS), ssl.TLSVersion.TLSv1_2)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):  # Whoever of the two says it first.
        asyncio.run(handshake(server, client_context(AUTHORITY[1])))


def test_without_an_authority_the_systems_are_asked(tmp_path: Path) -> None:
    server = server_context(tmp_path, server_certificate(AUTHORITY, HOSTS))
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(handshake(server, client_context("")))


@pytest.mark.parametrize("text", ["hello", "é", AUTHORITY[0], AUTHORITY[1][:200]])
def test_what_is_no_certificate(text: str) -> None:
    with pytest.raises(UsageError, match="no certificate in PEM form"):
        client_context(text)


@pytest.mark.parametrize("authority", [("", ""), ("x", "y"), (AUTHORITY[0], OTHER[1]), (AUTHORITY[1], AUTHORITY[0])])
def test_what_is_no_authority(authority: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="the federation's authority"):
        server_certificate(authority, HOSTS)


@pytest.mark.parametrize("host", ["", "a b\n", "x" * 64 + ".org", "a..b"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(UsageError, match="neither a host name nor an IP address"):
        server_certificate(AUTHORITY, [host])


def test_a_broker_without_a_host() -> None:
    with pytest.raises(UsageError, match="at least one host"):
        server_certificate(AUTHORITY, [])


def test_what_the_certificates_say() -> None:
    root = x509.load_pem_x509_certificate(AUTHORITY[1].encode())
    leaf = x509.load_pem_x509_certificate(server_certificate(AUTHORITY, HOSTS)[1].encode())
    for certificate, signs in ((root, True), (leaf, False)):
        assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert constraints.critical and constraints.value.ca is signs
        assert usage.critical and usage.value.key_cert_sign is signs and usage.value.digital_signature is not signs
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "broker.example.org"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    own = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own


def test_a_clock_that_is_hours_behind_is_no_reason_to_refuse() -> None:
    behind = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=20)
    for pem in (AUTHORITY[1], server_certificate(AUTHORITY, HOSTS)[1]):
        assert x509.load_pem_x509_certificate(pem.encode()).not_valid_before_utc < behind


@given(st.text(max_size=100))
def test_any_host_text_gives_a_certificate_or_a_sentence(host: str) -> None:
    try:
        server_certificate(AUTHORITY, [host])
    except UsageError as error:
        assert "\n" not in str(error)
