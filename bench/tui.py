"""What the dashboard costs and how soon it answers: figures P1 to P14 of docs/tui.md, in one command.

`python -m bench.tui [--runs 20] [--seconds 60] [--only start,rest] [--beside TEXT]` prints a table, writes bench/results/<date>-tui.json
and the table of docs/tui.md. Takes about six minutes, most of it waiting; anything else that runs shows in the figures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import processes
from bench.dashboard import Bench
from bench.figures import Figure

RESULTS = Path(__file__).parent / "results"
PARTS = ("start", "keys", "tail", "tail_over_ssh", "burst", "rest", "restart")
PAGE = Path(__file__).parent.parent / "docs" / "tui.md"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--beside", default="nothing else was started")
    given = parser.parse_args()
    found: dict[str, Figure] = {}
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory() as home:
        bench = Bench(given.runs, given.seconds, home)
        bench.start_fake()
        try:
            parts: dict[str, Callable[[], dict[str, Figure]]] = {
                name: getattr(bench, name) for name in given.only.split(",")
            }
            for part in parts.values():
                for name, one in part().items():
                    found[name] = one
                    print(
                        f"{'ok ' if one['ok'] else 'NO '} {name:45} {one['value']:>10} {one['unit']:14} (target {one['target']})",
                        flush=True,
                    )
        finally:
            bench.stop_fake()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.date.today():%Y-%m-%d}-tui.json"
    before = json.loads(path.read_text())["figures"] if path.exists() and given.only != ",".join(PARTS) else {}
    report = {
        "machine": processes.machine(), "terminal": "pty 120×36, xterm-256color", "beside": given.beside, "load_before": load_before,
        "load_after": os.getloadavg(), "figures": {**before, **found},
    }  # fmt: skip
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_page(path.name, report)
    print(f"wrote {path}")


def write_page(source: str, report: dict[str, Any]) -> None:
    """The table of docs/tui.md."""
    text = PAGE.read_text("utf-8")
    begin, end = "<!-- figures: written by bench/tui.py -->\n", "<!-- end of figures -->\n"
    machine = report["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}; beside it: {report['beside']}; load "
        f"{report['load_before'][0]:.1f} before, {report['load_after'][0]:.1f} after. Every value is in `bench/results/{source}`.",
        "", "| figure | measured | target |", "|---|---|---|",
        *(f"| {name} | {one['value']} {one['unit']} | {one['target']}{'' if one['ok'] else ', missed'} |" for name, one in report["figures"].items()),
    ]  # fmt: skip
    before, _, rest = text.partition(begin)
    PAGE.write_text(before + begin + "\n".join(lines) + "\n" + end + rest.partition(end)[2], "utf-8")


if __name__ == "__main__":
    main()
