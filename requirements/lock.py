"""Locks what pyproject.toml asks for, with hashes, for every platform: `make locks` and `make locks-current`.

The locks name no index host: the reader's own index is used, and the hashes say whether what it serves is right.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CONTENTS = {
    "run.txt": ["--extra", "embedded", "--group", "build"],
    "dev.txt": ["--extra", "embedded", "--group", "build", "--group", "dev"],
}


def uv() -> str:
    """The uv to lock with: of the PATH, of the folder the installer brought it into, or of this environment."""
    brought = HERE.parent / ".boot/bin/uv"
    found = shutil.which("uv") or (str(brought) if brought.exists() else None)
    if found is None:
        sys.exit("Locking needs uv, and none is here. Install it (pip install uv) and try again.")
    return found


def compile_lock(target: Path, selection: list[str], upgrade: bool) -> None:
    """Writes `target`; pins already in it stay where they still fit, unless `upgrade`."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("UV_INDEX", "UV_DEFAULT_INDEX"))
    }
    command = [uv(), "pip", "compile", "pyproject.toml", *selection, "--universal", "--generate-hashes", "--quiet"]
    command += ["--python-version", "3.11", "--no-annotate", "--no-config", "--custom-compile-command", "make locks"]
    command += ["--upgrade"] if upgrade else []
    subprocess.run(
        [*command, "-o", str(target)], check=True, cwd=HERE.parent, env=environment, stdout=subprocess.DEVNULL
    )


def stale(name: str, selection: list[str]) -> bool:
    """True when locking again from today's pins gives another file."""
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / name
        again.write_bytes((HERE / name).read_bytes())
        compile_lock(again, selection, upgrade=False)
        return again.read_bytes() != (HERE / name).read_bytes()


def main() -> None:
    if "--check" in sys.argv:
        old = [name for name, selection in CONTENTS.items() if stale(name, selection)]
        if old:
            sys.exit(f"Out of date: {', '.join(old)}. Run `make locks` and commit what it writes.")
        return
    for name, selection in CONTENTS.items():
        compile_lock(HERE / name, selection, upgrade="--upgrade" in sys.argv)


if __name__ == "__main__":
    main()
