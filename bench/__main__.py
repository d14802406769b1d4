"""`make bench`: what a call costs on this machine. `python -m bench` measures the request path; every other measurement is a module
of this folder with a `--help` of its own, listed by `python -m bench --list`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from bench import overhead


def measurements() -> dict[str, str]:
    """Modules that can be run, with the first line of what they say of themselves."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_text()
        if path.stem.startswith("_") or '__name__ == "__main__"' not in source:
            continue
        found[path.stem] = (ast.get_docstring(ast.parse(source)) or "").split("\n", 1)[0]
    return found


def main() -> None:
    if "--list" in sys.argv:
        for name, line in measurements().items():
            print(f"python -m bench.{name:<12} {line}")
        return
    overhead.main()


if __name__ == "__main__":
    main()
