"""Connections to SFTP servers, by asyncssh; one per login in each process.

The server's host key must be known, and nothing is read from ~/.ssh or an agent: only the settings decide what logs in. fsspec's
SFTP accepts any host key, so it is not used. A connection is shared by the threads of a process and closed after it was idle for
IDLE_SECONDS.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from flows.errors import ConfigurationError, DataError, InfrastructureError

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

ANSWER_SECONDS = 60.0  # timeout of the login and of each request
IDLE_SECONDS = 20.0
_ADDRESS = re.compile(
    r"sftp://(?:(?P<user>[^@/:]+)(?P<password>:[^@/]*)?@)?(?P<host>\[[^]]+\]|[^:/@]+)(?::(?P<port>[0-9]+))?(?P<path>/.*)?"
)


@dataclass(frozen=True, slots=True)
class Login:
    """A login to a server, and the host keys by which the server is recognized."""

    host: str
    port: int
    user: str
    secret: SecretStr | None = field(default=None, repr=False)  # a private key in PEM, or a password
    passphrase: SecretStr | None = field(default=None, repr=False)
    known_hosts: str | None = None  # lines of a known_hosts file, or the path of one

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{self.user}@{host}" + (f":{self.port}" if self.port != 22 else "")


def parse(
    address: str,
    user: str | None = None,
    secret: SecretStr | None = None,
    passphrase: SecretStr | None = None,
    known_hosts: str | None = None,
) -> tuple[Login, str]:
    """Parse an address into login and folder. `/~/` is the user's home folder; nothing is percent-decoded.

    Raises:
        ConfigurationError: the address has no host or no user, or it contains a password.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ConfigurationError(
            f"{address}: no address of a folder; expected sftp://user@host/path or sftp://user@host:port/path"
        )
    if match["password"]:
        shown = address.replace(match["password"], "")
        raise ConfigurationError(f"{shown}: holds a password, which every log would show; put it into CXM_SFTP_SECRET")
    name = match["user"] or user
    if not name:
        raise ConfigurationError(f"{address}: names no user; expected sftp://user@host/path, or CXM_SFTP_USER")
    login = Login(match["host"].strip("[]"), int(match["port"] or 22), name, secret, passphrase, known_hosts)
    path = match["path"] or "/"
    if path.startswith("/~/") or path == "/~":
        path = path[3:] or "."
    return login, path


class SftpConnection:
    """One connection, shared by several threads; it runs in the event loop of `_loop`."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.client: Any = None
        self.users = 0
        self._connection: Any = None
        self._end: Any = None
        self._lock = asyncio.Lock()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the event loop, concurrently with other threads' work, and return its result.

        Raises:
            InfrastructureError: it did not finish within `ANSWER_SECONDS`.
        """
        future = asyncio.run_coroutine_threadsafe(work, _loop())
        try:
            return future.result(ANSWER_SECONDS)
        except FutureTimeoutError:
            future.cancel()
            if self._connection is not None:
                _loop().call_soon_threadsafe(self._connection.abort)  # the next user gets a new connection
            raise InfrastructureError(
                f"{self.login}: gave no answer for {ANSWER_SECONDS:.0f} s; see whether the server is well, then run again"
            ) from None

    async def take(self) -> None:
        """Register one more user, and connect if no connection is open."""
        async with self._lock:
            if self._end is not None:
                self._end.cancel()
            if self._connection is None or self._connection.is_closed():
                self._connection, self.client = await _connect(self.login)
            self.users += 1

    async def give_back(self) -> None:
        """Unregister one user; without users the connection is closed after IDLE_SECONDS."""
        self.users -= 1
        if not self.users:
            self._end = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._connection.close)


_sessions: dict[Login, SftpConnection] = {}
_running: list[asyncio.AbstractEventLoop] = []
_lock = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that serves all connections of the process, in its own thread."""
    with _lock:
        if not _running:
            _running.append(asyncio.new_event_loop())
            # When a connection breaks, the waiting read raises; asyncio would also log the errors of its other reads.
            _running[0].set_exception_handler(lambda *_: None)
            threading.Thread(target=_running[0].run_forever, name="sftp", daemon=True).start()
        return _running[0]


@contextmanager
def session(login: Login) -> Iterator[SftpConnection]:
    """Use the process's connection for a login; connects if none is open.

    Raises:
        ConfigurationError: the server's host key is unknown, it refuses the login, or the settings are wrong.
        InfrastructureError: the server does not answer.
    """
    with _lock:
        shared = _sessions.setdefault(login, SftpConnection(login))
    with explained(str(login), login):
        shared.run(shared.take())
    try:
        yield shared
    finally:
        with suppress(InfrastructureError):
            shared.run(shared.give_back())


async def _connect(login: Login) -> tuple[Any, Any]:
    import asyncssh

    seen: list[asyncssh.SSHKey] = []

    class Client(asyncssh.SSHClient):
        def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
            seen.append(key)
            return False

    secret = login.secret.get_secret_value() if login.secret else ""
    is_key = secret.lstrip().startswith("-----BEGIN")
    try:
        connection = await asyncssh.connect(
            login.host,
            login.port,
            username=login.user,
            client_factory=Client,
            known_hosts=_known_hosts(login),
            client_keys=[_private_key(login, secret)] if is_key else None,
            password=secret if secret and not is_key else None,
            config=None,
            agent_path=None,
            gss_host=None,
            connect_timeout=ANSWER_SECONDS / 2,
            login_timeout=ANSWER_SECONDS / 2,
            keepalive_interval=15,
        )
    except asyncssh.HostKeyNotVerifiable:
        raise ConfigurationError(_unknown_host(login, seen)) from None
    return connection, await connection.start_sftp_client()


def _private_key(login: Login, text: str) -> Any:
    import asyncssh

    try:  # replace \\n: a form in the Prefect UI does not keep line ends
        passphrase = login.passphrase.get_secret_value() if login.passphrase else None
        return asyncssh.import_private_key(text.strip().replace("\\n", "\n") + "\n", passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise ConfigurationError(
            f"{login}: its private key cannot be read ({error}); expected PEM or OpenSSH form in CXM_SFTP_SECRET or the block "
            "that CXM_SFTP_BLOCK names, its passphrase in CXM_SFTP_PASSPHRASE"
        ) from None


def _known_hosts(login: Login) -> Any:
    import asyncssh

    text = login.known_hosts or ""
    if text and not re.search(r"\s", text):
        try:
            text = Path(text).expanduser().read_text()
        except OSError as error:
            raise ConfigurationError(
                f"CXM_SFTP_KNOWN_HOSTS={text}: cannot be read ({error.strerror}); expected a known_hosts file, or its lines"
            ) from None
    try:
        return asyncssh.import_known_hosts(text.replace("\\n", "\n"))
    except ValueError as error:
        raise ConfigurationError(
            f"CXM_SFTP_KNOWN_HOSTS: {error}; expected lines as `ssh-keyscan` prints them"
        ) from None


def _unknown_host(login: Login, seen: list[Any]) -> str:
    host = login.host if login.port == 22 else f"[{login.host}]:{login.port}"
    if not seen:
        return (
            f"{login}: has none of the host keys of CXM_SFTP_KNOWN_HOSTS; ask its operator for its key, and set it "
            f"to the line `{host} TYPE KEY`"
        )
    line = f"{host} {seen[0].export_public_key().decode().strip()}"
    return (
        f"{login}: its host key is unknown: expected one of CXM_SFTP_KNOWN_HOSTS, got {seen[0].get_fingerprint()}; compare that "
        f"fingerprint with the one that the server's operator gives you, then set CXM_SFTP_KNOWN_HOSTS='{line}'"
    )


@contextmanager
def explained(what: str, login: Login) -> Iterator[None]:
    """Translate asyncssh's exceptions into ours."""
    import asyncssh

    try:
        yield
    except asyncssh.PermissionDenied:
        raise ConfigurationError(
            f"{login}: refuses the login; set CXM_SFTP_SECRET (a private key or a password) or CXM_SFTP_BLOCK (the "
            "Prefect Secret block that holds it), and have the server take it"
        ) from None
    except asyncssh.SFTPPermissionDenied:
        raise ConfigurationError(
            f"{what}: may not be read by {login.user} (permission denied); have it be allowed to"
        ) from None
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        raise DataError(f"{what}: no such file any more; run again once whatever writes it has finished") from None
    except socket.gaierror as error:
        raise ConfigurationError(f"{login}: no such host ({error.strerror}); correct the address") from None
    except (asyncssh.Error, TimeoutError, OSError) as error:
        said = str(error) or type(error).__name__
        raise InfrastructureError(
            f"{what}: the connection to {login.host} failed ({said}); nothing was landed; check address and network, run again"
        ) from error
