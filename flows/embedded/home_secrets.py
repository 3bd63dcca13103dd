"""Creates a home's secrets at its first start, in CXM_HOME/secrets, which only the owner may read.

    s3.json          the object store's one identity, as SeaweedFS reads it
    s3.crt, s3.key   the certificate and key by which the object store's parts recognize each other
    prefect.auth     user:password of the Prefect server's API and pages
    forget.key       the key of the hashes in RAW.FORGOTTEN
    warehouse.json   the warehouse's users: its administrator, and one for each role that a tool logs in with by hand

Files have mode 0600 and the home 0700, regardless of the umask. `flows.settings` reads them.
"""

from __future__ import annotations

import json
import os
import secrets
import string
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.errors import ConfigurationError

if TYPE_CHECKING:
    from flows.settings import Settings

ADMINISTRATOR = "CXM_EMBEDDED"


def ensure(settings: Settings) -> None:
    """Create the secrets that the home lacks; existing ones stay, with mode 0600.

    Raises:
        ConfigurationError: an existing file is not valid; it is not changed.
    """
    folder = settings.home / "secrets"
    for private in (settings.home, folder):
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(PermissionError):  # another user owns the home, and its mode is up to that user
            private.chmod(0o700)
    for left in folder.glob("*.new"):
        left.unlink()
    _ensure_identity(folder / "s3.json")
    _ensure_certificate(folder / "s3.crt", folder / "s3.key")
    _ensure_text(folder / "prefect.auth", f"cxm:{secrets.token_urlsafe(24)}")
    _ensure_text(folder / "forget.key", secrets.token_hex(32))
    _ensure_users(folder / "warehouse.json", settings)


def write(path: Path, text: str) -> None:
    """Write atomically, readable only by the owner from the first byte on."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # a umask can remove the owner's bits too
        file.write(text)
    aside.replace(path)


def _ensure_identity(path: Path) -> None:
    """Create SeaweedFS's identities JSON: one access key and secret key."""
    document = _read(path)
    if document is not None:
        try:
            key = document["identities"][0]["credentials"][0]
            usable = bool(key["accessKey"]) and bool(key["secretKey"])
        except (LookupError, TypeError):
            usable = False
        if not usable:
            raise ConfigurationError(
                f"{path}: expected an identities JSON with one access key and secret key, got something else; delete the "
                "file and a new key pair is made (the objects stay readable with it)."
            )
        return
    alphabet = string.ascii_uppercase + string.digits
    pair = {
        "accessKey": "CXM" + "".join(secrets.choice(alphabet) for _ in range(17)),
        "secretKey": secrets.token_hex(20),
    }
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    write(path, json.dumps({"identities": [{"name": "cxm", "credentials": [pair], "actions": actions}]}))


def _ensure_certificate(certificate: Path, key: Path) -> None:
    """Create a self-signed certificate for 127.0.0.1 and its key, which servers and clients of the object store both use."""
    if certificate.exists() and key.exists():
        for path in (certificate, key):
            path.chmod(0o600)
        return
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    made = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cxm")])
    now = datetime.now(UTC)
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    signed = (
        x509.CertificateBuilder(name, name, made.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .sign(made, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = made.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write(key, plain.decode())
    write(certificate, signed.public_bytes(pem).decode())


def _ensure_text(path: Path, text: str) -> None:
    if path.exists():
        path.chmod(0o600)
        return
    write(path, text)


def _ensure_users(path: Path, settings: Settings) -> None:
    """Create the warehouse's users. Their passwords begin with a mark of the home, so a server that gets another home's password
    recognizes it. A role of another environment (CXM_ENV) is added to the user's roles."""
    roles = {
        ADMINISTRATOR: "ACCOUNTADMIN",
        "CXM_LOADER_SVC": settings.loader_role,
        "CXM_TRANSFORMER_SVC": settings.transformer_role,
        "CXM_READER_SVC": settings.reporter_role,
    }
    before = _read(path)
    try:
        document: dict[str, Any] = {"home": secrets.token_hex(4), "users": {}} if before is None else before
        for user, role in roles.items():
            entry = document["users"].setdefault(
                user, {"password": f"{document['home']}.{secrets.token_urlsafe(24)}", "roles": []}
            )
            entry["roles"] = list(dict.fromkeys([*entry["roles"], role]))
    except (LookupError, TypeError, AttributeError):
        raise ConfigurationError(
            f"{path}: expected the warehouse's users with their passwords, got something else; delete the file and new "
            "passwords are made (the tables stay)."
        ) from None
    if document != _read(path):
        write(path, json.dumps(document))


def _read(path: Path) -> Any:
    """Read the JSON document at `path`; None if the file is missing, "" if it is not JSON."""
    if not path.exists():
        return None
    path.chmod(0o600)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return ""
