"""A gateway as people run it: `python -m tui.cli serve --workers N`, a parent and its workers, to be killed by pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import asyncpg

from gateway import ids, keyring, seed
from tests.upstream import Upstream

ROOT = Path(__file__).parent.parent.parent


async def seeded(connection: asyncpg.Connection) -> str:
    """An empty database made ready for `serve`; a project's key."""
    made = await seed.seed(connection)
    await seed.first_admin_token(connection, made.user_id)
    minted = keyring.mint()
    await connection.execute(
        "INSERT INTO api_keys (id, project_id, name, public_id, digest) VALUES ($1, $2, 'test', $3, $4)",
        ids.new("key"), made.project_id, minted.public_id, minted.digest,
    )  # fmt: skip
    return minted.text


def path_without(folder: Path, module: str) -> str:
    """A PYTHONPATH on which this module can't be imported, as if it were not installed. Whoever tries leaves a file MODULE.missed."""
    shadow = folder / "shadow"
    shadow.mkdir()
    missed = shadow / f"{module}.missed"
    (shadow / f"{module}.py").write_text(f"open({str(missed)!r}, 'w').close()\nraise ImportError({module!r})\n")
    return os.pathsep.join((str(shadow), str(ROOT)))


def children(pid: int) -> list[int]:
    return [child for child, (parent, state) in _processes().items() if parent == pid and state != "Z"]


def is_alive(pid: int) -> bool:
    return state_of(pid) != "Z"


def state_of(pid: int) -> str:
    """`R`, `S`, `T` (stopped) …; `Z` also for one that is gone."""
    return _processes().get(pid, (0, "Z"))[1]


def resident_kb(pid: int) -> int:
    """What it holds in memory, shared pages included."""
    if sys.platform == "linux":
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    command = ["/bin/ps", "-o", "rss=", "-p", str(pid)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def waiting_signals(pid: int) -> set[int]:
    """Sent to the process and not taken yet: it is busy, or stopped."""
    if sys.platform == "linux":
        status = Path(f"/proc/{pid}/status").read_text()
        mask = next(line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:"))
    else:
        command = ["/bin/ps", "-o", "pending=", "-p", str(pid)]
        mask = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


def _processes() -> dict[int, tuple[int, str]]:
    """Of every process its parent and the letter of its state. From /proc: a small Linux has no `ps`; macOS has, and no /proc."""
    if sys.platform != "linux":
        shown = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in shown.stdout.splitlines()]
        return {int(pid): (int(parent), state[0]) for pid, parent, state in rows}
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                found[int(folder.name)] = (int(parent), state)
    return found


class Fleet:
    """One `optyx serve` (or another command) with its workers."""

    def __init__(self, home: Path, port: int, command: str = "serve", **environment: str) -> None:
        self.port = port
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.command = command
        self.log = home.with_suffix(".log")
        self.process: subprocess.Popen[bytes]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OPTYX_", "GATEWAY_"))},
            "OPTYX_HOME": str(home), "GATEWAY_PORT": str(port), "GATEWAY_LAME_DUCK_S": "0", "GATEWAY_DRAIN_S": "5",
            "LOG_LEVEL": "warning", "PYTHONPATH": str(ROOT), **environment,
        }  # fmt: skip

    def spawn(self, workers: int = 1) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tui.cli", self.command, "--workers", str(workers)],
                env=self._environment, stdout=log, stderr=log, cwd=self.home.parent, start_new_session=True,
            )  # fmt: skip

    async def start(self, workers: int = 1, timeout_s: float = 60) -> None:
        said = self.log.stat().st_size if self.log.exists() else 0
        self.spawn(workers)
        deadline = time.monotonic() + timeout_s
        while b"Optyx serves" not in self.log.read_bytes()[said:]:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            await asyncio.sleep(0.02)

    def workers(self) -> list[int]:
        """Their pids; one that has not become a worker yet is among them."""
        return children(self.process.pid)

    async def ended(self, timeout_s: float = 20) -> int:
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.log.read_text()
            await asyncio.sleep(0.01)
        return int(self.process.returncode)

    async def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    def kill(self) -> None:
        """Whatever is left of it, at a test's end: its own end is waited for whatever happens, or a later test would hear of it."""
        try:
            workers = self.workers() if self.process.poll() is None else []
        finally:
            self.process.kill()
            self.process.wait()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def environment(database_url: str, upstream: Upstream) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url, "OPENAI_API_KEY": "sk-upstream-secret", "OPENAI_BASE_URL": upstream.base_url,
        "GOOGLE_API_KEY": "google-secret", "GOOGLE_BASE_URL": upstream.root_url,
        "OPTYX_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }  # fmt: skip


async def is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health/ready") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
