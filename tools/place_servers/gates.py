"""Gates on loopback in front of emulators: a proxy that leads every host to one port, and a check of access tokens."""

import asyncio
import threading

_STEP = 1 << 16
_DENIED = b'{"error":{"code":401,"message":"Invalid Credentials","errors":[{"reason":"authError"}]}}'


class _Gate:
    """A server in a thread of its own, before a server on the port `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def url(self) -> str:
        """The URL of the gate."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """End it; no error if it has ended."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._take, "127.0.0.1", self.port, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.handle(reader, writer)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a connection."""
        raise NotImplementedError


class ConnectGate(_Gate):
    """A proxy for CONNECT to the port 443 of `host`: it leads to the target instead. Others are refused."""

    def __init__(self, target: int, host: str) -> None:
        self.refused: list[str] = []
        self.host = host
        super().__init__(target)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client with the target."""
        line = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0].decode("latin-1")
        if line.split(" ")[:2] != ["CONNECT", f"{self.host}:443"]:
            self.refused.append(line)
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.write(b"HTTP/1.1 502 nobody there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 ok\r\n\r\n")
        await asyncio.gather(_pump_to_end(reader, far_writer), _pump_to_end(far_reader, writer))


class TokenGate(_Gate):
    """Lets requests through that have one of `tokens`; the others get 401."""

    def __init__(self, target: int, tokens: set[str]) -> None:
        self.tokens = tokens
        super().__init__(target)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Check the requests of a connection, one after the other; responses pass through unread."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        back = asyncio.create_task(_pump_to_end(far_reader, writer))
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = _fields(head)
                scheme, _, token = fields.get("authorization", "").partition(" ")
                if scheme != "Bearer" or token not in self.tokens:
                    writer.write(
                        b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        b"Content-Length: %d\r\n\r\n" % len(_DENIED) + _DENIED
                    )
                    await writer.drain()
                    break
                if "range" in fields:
                    # fake-gcs-server closes the connection after a range beyond the end, and does not say so.
                    head = head.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"
                far_writer.write(head)
                await _pump_body(reader, far_writer, fields)
                await far_writer.drain()
        finally:
            back.cancel()
            far_writer.close()


def _fields(head: bytes) -> dict[str, str]:
    fields = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return fields


async def _pump_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fields: dict[str, str]) -> None:
    if "chunked" not in fields.get("transfer-encoding", "").lower():
        await _pump(reader, writer, int(fields.get("content-length", "0")))
        return
    length = 1
    while length:
        line = await reader.readuntil(b"\r\n")
        writer.write(line)
        length = int(line.split(b";")[0], 16)
        await _pump(reader, writer, length + 2)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int) -> None:
    while count > 0:
        data = await reader.read(min(count, _STEP))
        if not data:
            raise EOFError
        writer.write(data)
        await writer.drain()
        count -= len(data)


async def _pump_to_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_STEP):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
