"""A Valkey of the test's own, to be flushed, frozen and killed."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.conftest import free_port, valkey_binary, wait_for_port


class Valkey:
    def __init__(self, *, cluster: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="optyx-valkey-"))
        self.port = free_port()
        self.bus = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._arguments = ["--cluster-enabled", "yes", "--cluster-port", str(self.bus)] if cluster else []
        self.start()

    def start(self) -> None:
        command = [
            str(valkey_binary()),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        self.process = subprocess.Popen(
            [*command, *self._arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_port(self.port, self.process)

    def command(self, *words: str) -> bytes:
        """Inline, for words without spaces."""
        with socket.create_connection(("127.0.0.1", self.port), 2) as line:
            line.sendall(" ".join(words).encode() + b"\r\n")
            return line.recv(65536)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def own_valkey():
    server = Valkey()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def cluster_url():
    """Three real nodes that share the slots between them."""
    nodes = [Valkey(cluster=True) for _ in range(3)]
    try:
        _join(nodes)
        yield nodes[0].url
    finally:
        for node in nodes:
            node.stop()


def _join(nodes: list[Valkey]) -> None:
    edges = [0, 5461, 10923, 16384]
    for number, node in enumerate(nodes):
        node.command("CLUSTER", "ADDSLOTSRANGE", str(edges[number]), str(edges[number + 1] - 1))
        node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
    for node in nodes[1:]:
        nodes[0].command("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(node.bus))
    deadline = time.monotonic() + 20
    while not all(_is_whole(node) for node in nodes):
        assert time.monotonic() < deadline, "the cluster did not come together"
        time.sleep(0.05)


def _is_whole(node: Valkey) -> bool:
    info = node.command("CLUSTER", "INFO")
    return b"cluster_state:ok" in info and b"cluster_known_nodes:3" in info
