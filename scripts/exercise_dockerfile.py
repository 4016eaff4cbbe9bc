"""Do what deploy/docker/Dockerfile says, in a folder instead of a container, and try it.

    python scripts/exercise_dockerfile.py                    # installs from the package index
    python scripts/exercise_dockerfile.py --borrow           # from this Python's packages
    python scripts/exercise_dockerfile.py --arg EXTRAS=server

For machines without Docker. RUN, COPY, ENV, HEALTHCHECK, ENTRYPOINT and CMD are carried out
as they are written, with the paths of the image below a folder; the base image is this
Python, and USER and system packages are not tried. Then the server is asked to rerank, and
stopped by SIGTERM. Fails if any of it does, or if it writes outside of /data.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
QUERY = "how do I change my password"
TEXTS = ["the sea is blue", "To change the password, open the settings.", "a slow ship"]


class Image:
    """The stages of a Dockerfile, carried out one after the other below one folder."""

    def __init__(self, place: Path, arguments: dict[str, str], *, borrow: bool) -> None:
        self.place, self.arguments = place, arguments
        self.root = place / "root"
        self.done: dict[str, Path] = {}
        self.env: dict[str, str] = {}
        self.said: dict[str, list[str]] = {}
        self.where = "/"
        self._stage = ""
        self._outside = _outside(place, borrow)

    def build(self, steps: list[dict[str, str]]) -> None:
        """Carry out all instructions."""
        self.tops = {top for step in steps for top in _tops(step)}
        for step in steps:
            name, value = step["instruction"], step["value"]
            if name != "COMMENT":
                print(f"-- {name} {value[:100]}", flush=True)
                getattr(self, f"_{name.lower()}", self._not_tried)(value)

    def run(self, command: list[str] | str, **options: Any) -> subprocess.Popen[str]:
        """Start a command of the image."""
        inside = command if isinstance(command, str) else "\0".join(command)
        words = self.inside(inside).split("\0")
        return subprocess.Popen(
            words[0] if isinstance(command, str) else words,
            shell=isinstance(command, str),
            cwd=self.path(self.where),
            env={**self._outside, **{k: self.inside(v) for k, v in self.env.items()}},
            text=True,
            **options,
        )

    def path(self, name: str) -> Path:
        """Return where a path of the image is here."""
        return self.root / name.strip("/")

    def inside(self, text: str) -> str:
        """Return a text with the paths of the image as they are here."""
        tops = "|".join(sorted(self.tops))
        return re.sub(rf"(?<![\w/.])/(?=(?:{tops})(?:/|\b))", f"{self.root}/", text)

    def _from(self, value: str) -> None:
        if self._stage:
            self.root.rename(self.place / self._stage)
            self.done[self._stage] = self.place / self._stage
        self._stage = value.partition(" AS ")[2] or "last"
        self.root.mkdir()
        self.env, self.where = {}, "/"

    def _arg(self, value: str) -> None:
        name, _, default = value.partition("=")
        if self._stage:
            self.env[name] = self.arguments.get(name, default)

    def _env(self, value: str) -> None:
        for name, text in re.findall(r"(\w+)=(\S+)", value):
            known = {**self._outside, **self.env}
            for one in re.findall(r"\$(\w+)", text):
                text = text.replace(f"${one}", known.get(one, ""))
            self.env[name] = text

    def _workdir(self, value: str) -> None:
        self.where = value
        self.path(value).mkdir(parents=True, exist_ok=True)

    def _copy(self, value: str) -> None:
        words = value.split()
        flags = dict(w[2:].split("=", 1) for w in words if w.startswith("--"))
        *sources, target = [w for w in words if not w.startswith("--")]
        start = self.done[flags["from"]] if "from" in flags else ROOT
        to = self.path(target if target.startswith("/") else f"{self.where}/{target}")
        for source in sources:
            found = start / source.strip("/")
            if found.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(found, to, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                into = to / found.name if target.endswith("/") else to
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, into)

    def _run(self, value: str) -> None:
        if value.startswith("apt-get "):
            return
        (self.root / "opt").mkdir(exist_ok=True)
        code = self.run(value).wait()
        if code:
            sys.exit(f"RUN failed with {code}")

    def _entrypoint(self, value: str) -> None:
        self.said["entrypoint"] = json.loads(value)

    def _cmd(self, value: str) -> None:
        self.said["cmd"] = json.loads(value)

    def _healthcheck(self, value: str) -> None:
        self.said["healthcheck"] = json.loads(value[value.index("[") :])

    def _not_tried(self, value: str) -> None:
        """Leave what says nothing to a folder: LABEL, EXPOSE, USER, STOPSIGNAL."""


def _tops(step: dict[str, str]) -> list[str]:
    """Return the first folders of the paths that belong to the image alone."""
    if step["instruction"] not in ("WORKDIR", "COPY"):
        return []
    return re.findall(r"(?<![\w:/.])/(\w+)", step["value"])


def _outside(place: Path, borrow: bool) -> dict[str, str]:
    """Return the environment of the base image: this Python, and how pip finds packages."""
    tools = place / "bin"
    tools.mkdir()
    python = tools / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    kept = ("HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    found = {k: v for k, v in os.environ.items() if k in kept or k.startswith("PIP_")}
    found |= {"PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    found["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    if borrow:
        # Links, so that pip finds all packages but this one.
        packages = place / "packages"
        packages.mkdir()
        folders = [sysconfig.get_path("purelib"), *os.environ.get("PYTHONPATH", "").split(":")]
        for folder in map(Path, dict.fromkeys(filter(None, folders))):
            for one in folder.iterdir():
                own = one.name.lower().startswith(("secondpass", "_editable", "__pycache__"))
                if not own and not (packages / one.name).exists():
                    (packages / one.name).symlink_to(one)
        found |= {"PYTHONPATH": str(packages), "PIP_NO_BUILD_ISOLATION": "0"}
    return found


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def files(image: Image) -> dict[str, tuple[int, int]]:
    """Return size and time of every file outside of /data."""
    found = {}
    for path in image.root.rglob("*"):
        if path.is_file() and not path.is_relative_to(image.path("/data")):
            about = path.lstat()
            found[str(path)] = (about.st_size, about.st_mtime_ns)
    return found


def ask(port: int, path: str, key: str | None, body: object = None) -> tuple[int, object]:
    """Return status and JSON of an answer."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def serve(image: Image, seconds: float) -> None:
    """Start what the image starts, try it and stop it."""
    entry, port = image.said["entrypoint"], free_port()
    make = [*entry, "keys", "create", "try", "--keys", "/data/keys.json"]
    key = image.run(make, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).communicate()[0]
    before = files(image)
    ported = [str(port) if word == "8080" else word for word in image.said["cmd"]]
    with image.run([*entry, *ported], stderr=subprocess.PIPE) as server:
        try:
            wait_ready(port, server, seconds)
            check = [w.replace(":8080/", f":{port}/") for w in image.said["healthcheck"]]
            assert image.run(check).wait(30) == 0, "HEALTHCHECK failed"
            body = {"query": QUERY, "documents": TEXTS}
            status, found = ask(port, "/v1/rerank", key.split()[0], body)
            assert status == 200, f"rerank answered {status}"
            assert isinstance(found, dict)
            assert found["results"][0]["index"] == 1, found
            assert ask(port, "/v1/rerank", None, body)[0] == 401
            server.send_signal(signal.SIGTERM)
            _, log = server.communicate(timeout=60)
            assert server.returncode == 0, f"it ended with {server.returncode}:\n{log}"
        finally:
            server.kill()
    messages = [json.loads(line)["message"] for line in log.splitlines()]
    assert "stopped" in messages, log
    changed = {name for name, about in files(image).items() if before.get(name) != about}
    assert not changed, f"it wrote outside of /data: {sorted(changed)[:5]}"


def wait_ready(port: int, server: subprocess.Popen[str], seconds: float) -> None:
    """Wait until the server takes requests."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            if ask(port, "/ready", None)[0] == 200:
                return
        except OSError:
            time.sleep(0.2)
    server.kill()
    sys.exit(f"the server is not ready:\n{server.communicate()[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--borrow", action="store_true", help="install nothing but secondpass")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seconds", type=float, default=120, help="until it must be ready")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        arguments = dict(one.split("=", 1) for one in chosen.arg)
        image = Image(place, arguments, borrow=chosen.borrow)
        image.build(DockerfileParser(path=str(DOCKERFILE)).structure)
        size = sum(size for size, _ in files(image).values())
        print(f"-- {size / 1e6:.0f} MB on top of the base image", flush=True)
        serve(image, chosen.seconds)
    print("The image builds, answers and stops.")


if __name__ == "__main__":
    main()
