"""This machine: Python, variables, the data folder and its disk, files with secrets, which `optyx` is on the PATH."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tui import contexts
from tui.checks.finding import Finding, ok, problem, skipped
from tui.faults import Fault

GROUP = "local"
LOW_BYTES = 1 << 30
FULL_BYTES = 64 << 20


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield ok(GROUP, "python", f"Python {version}.")
    else:
        yield problem(
            GROUP,
            "python",
            f"Python {version} is not one that Optyx is tested on.",
            "It may fail in odd ways.",
            "Use Python 3.11, 3.12 or 3.13.",
        )


def variables() -> Iterator[Finding]:
    """What would stop the gateway's start here."""
    from gateway import config

    try:
        config.load()
    except config.ConfigError as error:
        for one in error.problems:
            yield problem(
                GROUP,
                "environment",
                one,
                "The gateway does not start with it.",
                "Correct or unset it, in the environment or in .env.",
            )
    else:
        yield ok(GROUP, "environment", "Every variable of the gateway is well-formed.")


def data_folder(home: Path) -> Iterator[Finding]:
    """OPTYX_HOME: can it be written, and is there room?"""
    place = next((one for one in (home, *home.parents) if one.exists()), Path("/"))
    why = "Journal, credentials and the embedded database are kept there; without a place to record, no call is made."
    if not place.is_dir() or not _is_writable(place):
        fix = f"sudo chown -R {os.environ.get('USER') or os.getuid()} {home}   (or another OPTYX_HOME)"
        yield problem(GROUP, "home", f"OPTYX_HOME ({home}) can't be written.", why, fix)
        return
    yield ok(GROUP, "home", f"OPTYX_HOME ({home}) can be written.")
    free = shutil.disk_usage(place).free
    yield from disk(home, free)


def _is_writable(place: Path) -> bool:
    """Tried, not asked: root may everything by its bits, and nothing on a read-only file system."""
    probe = place / f".optyx-doctor-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def disk(home: Path, free: int) -> Iterator[Finding]:
    why = "The journal needs room while the database is away; without it calls get 503 accounting_unavailable."
    if free < LOW_BYTES:
        word = "full" if free < FULL_BYTES else "nearly full"
        fix = f"Make room on the disk of {home}, or set OPTYX_HOME to a larger one."
        yield problem(GROUP, "disk", f"The disk of OPTYX_HOME is {word}: {free / 2**20:.0f} MiB are free.", why, fix)
    else:
        yield ok(GROUP, "disk", f"{free / 2**30:.0f} GiB are free for OPTYX_HOME.")


def secret_files(home: Path) -> Iterator[Finding]:
    """Files with secrets must be ours alone."""
    folder = contexts.folder()
    files = [folder / "config.toml", *folder.glob("*.token"), home / "credentials.json"]
    open_ones = [path for path in files if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    for path in open_ones:
        mode = stat.S_IMODE(path.stat().st_mode)
        why = "It holds an admin token, or says where one is: whoever reads it administers the gateway."
        yield problem(
            GROUP,
            "secrets",
            f"{path} can be read by others (mode {mode:04o}).",
            why,
            f"chmod 600 {path}",
            partial(_closed, path),
        )
    if not open_ones:
        yield ok(GROUP, "secrets", "Files with secrets can be read by nobody else.")
    try:
        if not open_ones:
            contexts.read()
    except Fault as fault:
        yield problem(
            GROUP, "config", fault.message, "No command that uses a context works.", fault.hint or "Mend the file."
        )


def _closed(path: Path) -> str:
    path.chmod(0o600)
    return f"{path} is 0600 now."


def on_path(env: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Two installations, and not the one that was meant?"""
    here = Path(sys.argv[0]).resolve()
    found = shutil.which("optyx", path=env.get("PATH", ""))
    if found and here.name == "optyx" and Path(found).resolve() != here:
        yield problem(
            GROUP, "path", f"The first optyx on the PATH is {found}, and this one is {here}.", "Scripts run another version than you do.",
            f"Put {here.parent} first on the PATH, or remove the other one.",
        )  # fmt: skip
    else:
        yield ok(GROUP, "path", "No other optyx stands before this one on the PATH.")


def completion() -> Iterator[Finding]:
    """Of an older version it completes what is not there any more. None at all is nobody's fault."""
    from tui.completing import PLACES, SCRIPTS

    installed = {shell: place() for shell, place in PLACES.items() if place().is_file()}
    for shell, path in installed.items():
        if path.read_text("utf-8", "replace").strip() == SCRIPTS[shell].strip():
            yield ok(GROUP, "completion", f"Completion of {shell} is installed.")
        else:
            yield problem(
                GROUP, "completion", f"The completion of {shell} in {path} is of another version.", "It may offer what is not there.",
                f"optyx completion {shell} --install", partial(_installed, shell, path),
            )  # fmt: skip
    if not installed:
        yield skipped(GROUP, "completion", "No completion is installed: optyx completion SHELL --install.")


def _installed(shell: str, path: Path) -> str:
    from tui.completing import SCRIPTS

    path.write_text(SCRIPTS[shell] + "\n", "utf-8")
    return f"{path} is of this version now."
