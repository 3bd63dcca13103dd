"""A place `sftp://user@host:port/path`."""

from __future__ import annotations

import asyncio
import io
import stat
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from flows.clients.sftp_session import Login, SftpConnection, explained, session
from flows.errors import DataError
from flows.places import Archive, Place, PlaceEntry, Raw, resolved
from flows.streams import Seekable
from flows.unpack import DEFAULT, Limits

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

# A server returns 32 to 256 KiB per response; asyncssh requests a whole block in parallel.
READ_BYTES = 4 * 1024 * 1024


def place(login: Login, path: str, limits: Limits = DEFAULT) -> Place:
    """Open the folder or archive at a path of the server.

    Raises:
        ConfigurationError, InfrastructureError: the server's host key is unknown, it refuses the login, or does not answer.
    """
    path = path.rstrip("/") or "/"
    folder, _, name = path.rpartition("/")
    around = Folder(login, folder or ("/" if path.startswith("/") else "."), limits)
    if name and any(not entry.is_folder for entry in around.find((name,))):
        return Archive(around, name)
    return resolved(Folder(login, path, limits))


@dataclass(frozen=True, slots=True)
class Folder(Place):
    """The files of a folder on the server, without those of its subfolders."""

    login: Login
    path: str
    limits: Limits = DEFAULT

    def __str__(self) -> str:
        return f"{self.login}{self.path if self.path.startswith('/') else '/~/' + self.path}"

    def path_of(self, name: str) -> str:
        return f"{str(self).rstrip('/')}/{name}"

    def entries(self) -> list[PlaceEntry]:
        import asyncssh

        async def listed(client: asyncssh.SFTPClient) -> list[PlaceEntry]:
            try:
                names = [str(name) for name in await client.listdir(self.path) if not str(name).startswith(".")]
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                return []
            # stat each name, because a listing has the attributes of links, not of their targets; at most 100 at a time.
            entries: list[PlaceEntry | None] = []
            for start in range(0, len(names), 100):
                entries += await asyncio.gather(*(self._entry(client, name) for name in names[start : start + 100]))
            return sorted((entry for entry in entries if entry), key=lambda entry: entry.name)

        return self._ask(listed, str(self))

    def find(self, names: tuple[str, ...]) -> list[PlaceEntry]:
        async def listed(client: asyncssh.SFTPClient) -> list[PlaceEntry | None]:
            return list(await asyncio.gather(*(self._entry(client, name) for name in names)))

        return [entry for entry in self._ask(listed, str(self)) if entry]

    def open_raw(self, entry: PlaceEntry, expected: str, stack: ExitStack) -> Raw:
        if entry.is_folder:
            raise DataError(f"{entry.path.rstrip('/')}: a directory; {expected}")
        reader = _RemoteFile(stack.enter_context(session(self.login)), self._on_server(entry.name), entry)
        file = stack.enter_context(io.BufferedReader(reader, READ_BYTES))
        return Raw(entry.path, file, entry.size, lambda: self._state(entry.name))

    def dispose(self, entries: Sequence[PlaceEntry], folder: str = "") -> int:
        async def disposed(client: asyncssh.SFTPClient) -> int:
            done = 0
            if folder:
                await client.makedirs(self._on_server(folder), exist_ok=True)
            for entry in entries:
                if await self._entry(client, entry.name) != entry:
                    continue
                if folder:  # an atomic rename on the server
                    await client.posix_rename(self._on_server(entry.name), self._on_server(f"{folder}/{entry.name}"))
                else:
                    await client.remove(self._on_server(entry.name))
                done += 1
            return done

        return self._ask(disposed, str(self))

    def _state(self, name: str) -> str:
        entries = self.find((name,))
        return f"{entries[0].size:,} bytes of {entries[0].changed}" if entries else "no such file"

    def _on_server(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    async def _entry(self, client: asyncssh.SFTPClient, name: str) -> PlaceEntry | None:
        import asyncssh

        try:
            about = await client.stat(self._on_server(name))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            return None
        folder = about.permissions is not None and stat.S_ISDIR(about.permissions)
        changed = datetime.fromtimestamp(about.mtime or 0, UTC)
        path = self.path_of(name)
        return PlaceEntry(
            name + "/" * folder, 0 if folder else about.size or 0, changed, path, str(about.mtime_ns or "")
        )

    def _ask(self, question: Callable[[asyncssh.SFTPClient], Coroutine[Any, Any, T]], what: str) -> T:
        with session(self.login) as shared, explained(what, self.login):
            return shared.run(question(shared.client))


async def _opened(session: SftpConnection, path: str) -> Any:
    return await session.client.open(path, "rb")


class _RemoteFile(Seekable):
    """A seekable stream of a file's bytes."""

    def __init__(self, session: SftpConnection, path: str, entry: PlaceEntry) -> None:
        super().__init__(entry.size)
        self._session, self._entry = session, entry
        with explained(entry.path, session.login):
            self._file: Any = session.run(_opened(session, path))

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        size = min(len(buffer), self._entry.size - self._at)
        if size <= 0:
            return 0
        with explained(self._entry.path, self._session.login):
            data = self._session.run(self._file.read(size, self._at))
        if not data:
            raise DataError(
                f"{self._entry.path}: ends early: expected {self._entry.size:,} bytes as at its start, got {self._at:,}; nothing "
                "of it was landed; run again once whatever writes it has finished"
            )
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the remote handle, if the connection is still open."""
        if not self.closed:
            with suppress(Exception):
                self._session.run(self._file.close())
        super().close()
