"""A real SFTP server on loopback (asyncssh's), with the faults of servers and networks on demand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh

USER = "clinic"
PASSWORD = "correct horse"  # valid for this server only


class SftpServer:
    """Serves `root` to one user who logs in with `key` or the password; `fault` is asked at each read, with its offset."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.connections = 0
        self.fault: Callable[[int], str] = lambda _: ""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="sftp server", daemon=True).start()
        self._server: Any = self._run(self._listen())
        self.port = self._server.get_port()

    @property
    def known_hosts(self) -> str:
        """The server's line for a client's known_hosts file."""
        return f"[127.0.0.1]:{self.port} {self.host_key.export_public_key().decode()}"

    @property
    def private_key(self) -> str:
        """The user's private key, as the text of a key file."""
        return self.key.export_private_key().decode()

    def address(self, path: str = "") -> str:
        """Return the address of a folder of the server."""
        return f"sftp://{USER}@127.0.0.1:{self.port}/{path}"

    def close(self) -> None:
        """Stop the server and close every connection."""

        async def end() -> None:
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _listen(self) -> Any:
        outer = self

        class Login(asyncssh.SSHServer):
            def connection_made(self, _: Any) -> None:
                outer.connections += 1

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == (USER, PASSWORD)

        class Files(asyncssh.SFTPServer):
            def __init__(self, channel: Any) -> None:
                super().__init__(channel, chroot=str(outer.root).encode())
                self._channel = channel

            async def read(self, file: Any, offset: int, size: int) -> bytes:  # type: ignore[override]
                fault = outer.fault(offset)
                if fault == "cut":
                    self._channel.get_connection().abort()
                if fault == "deny":
                    raise asyncssh.SFTPPermissionDenied("no")
                if fault == "stall":
                    await asyncio.sleep(30)
                if fault == "end":
                    return b""
                return super().read(file, offset, size)  # type: ignore[return-value]

        keys = asyncssh.import_authorized_keys(self.key.export_public_key().decode())
        return await asyncssh.create_server(
            Login, "127.0.0.1", 0, server_host_keys=[self.host_key], authorized_client_keys=keys, sftp_factory=Files
        )
