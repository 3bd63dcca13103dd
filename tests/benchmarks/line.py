"""A TCP proxy on loopback with the speed of a line: `python -m tests.benchmarks.line PORT TARGET_PORT MBIT`, in Mbit/s.

It slows only what goes to the server, all connections together, with a token bucket of 20 ms.
"""

from __future__ import annotations

import asyncio
import sys
import time

CHUNK = 16 * 1024


class Line:
    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._turn = asyncio.Lock()

    async def take(self, size: int) -> None:
        async with self._turn:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - 0.02) + size / self._rate
            if self._free_at > now:
                await asyncio.sleep(self._free_at - now)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line | None) -> None:
    try:
        while data := await reader.read(CHUNK):
            if line:
                await line.take(len(data))
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(port: int, target: int, mbit: float) -> None:
    line = Line(mbit * 1e6 / 8)

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target, limit=CHUNK)
        await asyncio.gather(pump(reader, far_writer, line), pump(far_reader, writer, None), return_exceptions=True)

    server = await asyncio.start_server(join, "127.0.0.1", port, limit=CHUNK)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
