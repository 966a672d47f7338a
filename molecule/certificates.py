"""A certificate that browsers refuse."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

from conftest import CREDENTIALS, Server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from testinfra.host import Host


def expire(server: Server, host: Host) -> None:
    """Give nginx a certificate of the same authority that ended yesterday."""
    authority = x509.load_pem_x509_certificate((CREDENTIALS / "tls" / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((CREDENTIALS / "tls" / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.IPAddress(ipaddress.ip_address(server.address))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now - timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .sign(signer, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = (secret + certificate.public_bytes(serialization.Encoding.PEM)).decode()
    host.check_output("cp --archive /etc/nginx/cell-monitor.pem /root/good.pem")
    host.check_output("printf %%s %s > /etc/nginx/cell-monitor.pem && systemctl reload nginx", pem)
