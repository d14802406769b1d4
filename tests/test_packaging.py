"""What is shipped: the wheel works in an empty folder, and the container files say what they promise."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import free_port

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(scratch: Path) -> Path:
    """The project's wheel, unpacked: what an installation would hold."""
    folder = scratch / "wheel"
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (made,) = folder.glob("*.whl")
    unpacked = scratch / "unpacked"
    with zipfile.ZipFile(made) as archive:
        archive.extractall(unpacked)
    for path in [unpacked, *unpacked.rglob("*")]:
        path.chmod(0o755)
    return unpacked


def test_the_wheel_holds_what_runs_and_nothing_else(wheel: Path):
    names = {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"gateway", "tui"}
    for folder, kind in (("migrations", "*.sql"), ("seeds", "*.sql")):
        shipped = {path.name for path in (wheel / "gateway/_data" / folder).glob(kind)}
        assert shipped == {path.name for path in (ROOT / folder).glob(kind)}
    for data in ("gateway/limits/rates.lua", "tui/optyx.tcss", "gateway/py.typed"):
        assert (wheel / data).is_file()


def test_a_demo_from_the_wheel_answers_in_an_empty_folder_keeps_its_data_and_ends_cleanly(wheel: Path, scratch: Path):
    empty = scratch / "empty"
    empty.mkdir()
    first = Demo(wheel, empty)
    try:
        key = first.key
        assert key is not None
        body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
        answer = first.post("/v1/chat/completions", key, body)
        assert json.loads(answer)["usage"]["completion_tokens"] > 0
        assert first.post("/v1/chat/completions", key, {**body, "stream": True}).rstrip().endswith(b"data: [DONE]")
        vectors = json.loads(first.post("/v1/embeddings", key, {"input": ["one", "two"]}))["data"]
        assert [len(vector["embedding"]) > 100 for vector in vectors] == [True, True]
    finally:
        first.stop()
    assert first.process.returncode == 0
    again = Demo(wheel, empty)
    try:
        assert again.key is None  # a key is shown once
        assert "its data is kept" in again.said
        assert again.post("/v1/embeddings", key, {"input": "one"})
    finally:
        again.stop()
    assert again.process.returncode == 0


class Demo:
    """`optyx demo` from the unpacked wheel, until its curl lines are printed."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.port = free_port()
        environment = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
        environment |= {
            "PYTHONPATH": str(wheel),
            "OPTYX_HOME": str(folder / "home"),
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_LAME_DUCK_S": "0",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tui.cli", "demo"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if "/v1/embeddings" in line:
                break
        self.said = "".join(lines)
        shown = re.search(r"sk-optyx-\S+", self.said)
        self.key = shown[0].strip("'") if shown else None

    def post(self, path: str, key: str, body: object) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_compose_runs_the_gateway_as_an_ordinary_user_on_a_read_only_root():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(services) == {"gateway", "postgres", "redis"}
    gateway = services["gateway"]
    assert gateway["read_only"] is True
    assert int(gateway["user"].split(":")[0]) >= 10_000
    assert gateway["cap_drop"] == ["ALL"]
    assert gateway["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in gateway["ports"])
    assert set(gateway["depends_on"]) == {"postgres", "redis"}
    assert all("healthcheck" in services[name] for name in gateway["depends_on"])
    known = {line.partition("=")[0].lstrip("#") for line in (ROOT / ".env.example").read_text().splitlines()}
    assert set(gateway["environment"]) <= known


def test_the_image_copies_what_exists_and_is_not_root():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [
        part for line in lines if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]
    ]
    assert copied
    assert [part for part in copied if not (ROOT / part).exists()] == []
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert [int(user.split(":")[0]) >= 10_000 for user in users] == [True]
