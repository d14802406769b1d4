#!/bin/sh
# Puts the locked packages and this project into .venv: `requirements/install.sh run` or `dev`.
# Needs Python 3.11 to 3.13 and nothing else: uv does the work when it is there or can be brought in with pip, venv and pip
# otherwise. Uses only what sh and Python can do themselves. Called by the Makefile.
set -eu

which=${1:?say run or dev}
python=${PYTHON:-python3}
lock=requirements/$which.txt
mark=.venv/$which.mark
say() { printf '%s\n' "$*" >&2; }

"$python" - <<'PY' || exit 1
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"Optyx needs Python 3.11, 3.12 or 3.13; {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.12 …")
PY

# The mark holds what was installed from where: the same lock, project file, interpreter and folder need no second look.
print=$("$python" - "$lock" <<'PY'
import hashlib, pathlib, sys
parts = [pathlib.Path(sys.argv[1]).read_bytes(), pathlib.Path("pyproject.toml").read_bytes(), sys.version.encode(), str(pathlib.Path.cwd()).encode()]
print(hashlib.sha256(b"\0".join(parts)).hexdigest())
PY
)
[ -f "$mark" ] && [ -x .venv/bin/python ] && read -r seen <"$mark" && [ "$seen" = "$print" ] && exit 0

uv=
if [ "${OPTYX_NO_UV:-}" = 1 ]; then :
elif command -v uv >/dev/null 2>&1; then uv=uv
elif [ -x .boot/bin/uv ]; then uv=.boot/bin/uv
elif "$python" -m pip --version >/dev/null 2>&1; then
    say "Bringing in uv (once, into .boot) …"
    "$python" -m pip install --quiet --disable-pip-version-check --target .boot uv >&2 && uv=.boot/bin/uv
fi

say "Installing the locked packages of $lock …"
if [ -n "$uv" ]; then
    export UV_PYTHON_DOWNLOADS=never
    [ -x .venv/bin/python ] || "$uv" venv --quiet --python "$python" .venv
    "$uv" pip install --quiet --python .venv/bin/python --require-hashes -r "$lock"
    "$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
else
    [ -x .venv/bin/python ] || "$python" -m venv .venv || {
        say "Neither pip nor venv works with $python. On Debian: apt install python3-venv; or install uv."
        exit 1
    }
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
# pip compiles what it installs, uv does not. Without this the first start of each program would take twice as long, and every start
# where Python is told to write no compiled files.
PYTHONDONTWRITEBYTECODE= .venv/bin/python -c 'import gateway.app, tui.cli, tui.screens.overview, tui.start'
printf '%s\n' "$print" >"$mark"
