"""The console's socket."""

from __future__ import annotations

import socket

from pipeline.sections import Console
from pipeline.web.server import listen


def test_answers_go_out_at_once():
    with listen(Console(port=0)) as listening, socket.create_connection(listening.getsockname()) as _:
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
