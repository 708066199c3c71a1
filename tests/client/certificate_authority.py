"""Certificate authorities, certificates and keys of tests."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
FAR_AHEAD = datetime.datetime(2045, 1, 1, tzinfo=datetime.timezone.utc)


def new_key(kind="ec"):
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def pem_of_key(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def pem_of(*certificates):
    return "".join(certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in certificates)


def name_of(common_name, **more):
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    for key, value in more.items():
        parts.append(x509.NameAttribute(getattr(NameOID, key.upper()), value))
    return x509.Name(parts)


class Authority:
    """A certificate authority, its own or below another."""

    def __init__(self, common_name="authority", kind="ec", below=None, path_length=None):
        self.key = new_key(kind)
        self.subject = name_of(common_name)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        issuer = below or self
        builder = (
            _builder(self.subject, issuer.subject, self.key, LONG_AGO, FAR_AHEAD)
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(usage, critical=True)
        )
        self.certificate = builder.sign(issuer.key, hashes.SHA256())

    def pem(self):
        return pem_of(self.certificate)

    def issue(
        self, common_name="workload", key=None, begins=LONG_AGO, ends=FAR_AHEAD, signs=True, usage=ExtendedKeyUsageOID.CLIENT_AUTH,
        names=(), authority=False, **subject
    ):
        """A certificate with its key."""
        key = key or new_key()
        key_usage = x509.KeyUsage(signs, False, not signs, False, False, False, False, False, False)
        builder = (
            _builder(name_of(common_name, **subject), self.subject, key, begins, ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(key_usage, critical=True)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        return builder.sign(self.key, hashes.SHA256()), key

    def issue_for_loopback(self):
        """A server's certificate for 127.0.0.1."""
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return self.issue("loopback", usage=ExtendedKeyUsageOID.SERVER_AUTH, names=names)

    def revocation_list(self, *certificates):
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.subject).last_update(LONG_AGO).next_update(FAR_AHEAD)
        for certificate in certificates:
            revoked = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(LONG_AGO).build()
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _builder(subject, issuer, key, begins, ends):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
