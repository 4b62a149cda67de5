"""A few lines of TCP, for answers that no well-behaved server gives."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Self

Answer = Callable[[socket.socket, bytes], None] | bytes


class Listener:
    """Answers every connection with the same bytes, or lets a function answer; keeps the heads it was sent.

    :param answer: bytes, or what takes the connection and the head of the request.
    :param tls: speak TLS with this certificate.
    """

    def __init__(self, answer: Answer = b"", tls: ssl.SSLContext | None = None) -> None:
        self.received: list[bytes] = []
        self._answer = answer
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._serve)]

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://{self.authority}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._talk, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        # Clients that leave early are what the tests are about.
        with contextlib.suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                head = b"".join(_until_blank_line(connection))
                self.received.append(head)
                if callable(self._answer):
                    self._answer(connection, head)
                else:
                    connection.sendall(self._answer)


def _until_blank_line(connection: socket.socket) -> Iterator[bytes]:
    end = b""
    while end != b"\r\n\r\n" and (byte := connection.recv(1)):
        end = end[-3:] + byte
        yield byte


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """Give the bytes of a whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
