"""Run the instructions of deploy/docker/Dockerfile in a folder, without Docker, and test it.

    python scripts/exercise_dockerfile.py                    # installs from the package index
    python scripts/exercise_dockerfile.py --borrow           # uses this Python's packages
    python scripts/exercise_dockerfile.py --arg EXTRAS=server

For machines without Docker. RUN, COPY, ENV, HEALTHCHECK, ENTRYPOINT and CMD are executed as
written, with the paths of the image below a folder; the base image is this Python, and USER and
system packages are skipped. Then the server gets a rerank request, and SIGTERM. Fails if any
step fails, or if the server writes outside of /data.
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
    """The stages of a Dockerfile, executed one after the other below one folder."""

    def __init__(self, folder: Path, arguments: dict[str, str], *, use_installed: bool) -> None:
        self.folder, self.arguments = folder, arguments
        self.root = folder / "root"
        self.stages: dict[str, Path] = {}
        self.env: dict[str, str] = {}
        self.commands: dict[str, list[str]] = {}
        self.workdir = "/"
        self._stage = ""
        self._base_environment = _base_environment(folder, use_installed)

    def build(self, steps: list[dict[str, str]]) -> None:
        """Execute all instructions."""
        self.image_folders = {top for step in steps for top in _image_folders(step)}
        for step in steps:
            name, value = step["instruction"], step["value"]
            if name != "COMMENT":
                print(f"-- {name} {value[:100]}", flush=True)
                getattr(self, f"_{name.lower()}", self._skip)(value)

    def run(self, command: list[str] | str, **options: Any) -> subprocess.Popen[str]:
        """Start a command of the image."""
        joined = command if isinstance(command, str) else "\0".join(command)
        words = self.translate_paths(joined).split("\0")
        return subprocess.Popen(
            words[0] if isinstance(command, str) else words,
            shell=isinstance(command, str),
            cwd=self.path(self.workdir),
            env={
                **self._base_environment,
                **{k: self.translate_paths(v) for k, v in self.env.items()},
            },
            text=True,
            **options,
        )

    def path(self, name: str) -> Path:
        """Return the local path of a path of the image."""
        return self.root / name.strip("/")

    def translate_paths(self, text: str) -> str:
        """Replace paths of the image in a text by local ones."""
        image_folders = "|".join(sorted(self.image_folders))
        return re.sub(rf"(?<![\w/.])/(?=(?:{image_folders})(?:/|\b))", f"{self.root}/", text)

    def _from(self, value: str) -> None:
        if self._stage:
            self.root.rename(self.folder / self._stage)
            self.stages[self._stage] = self.folder / self._stage
        self._stage = value.partition(" AS ")[2] or "last"
        self.root.mkdir()
        self.env, self.workdir = {}, "/"

    def _arg(self, value: str) -> None:
        name, _, default = value.partition("=")
        if self._stage:
            self.env[name] = self.arguments.get(name, default)

    def _env(self, value: str) -> None:
        for name, text in re.findall(r"(\w+)=(\S+)", value):
            known = {**self._base_environment, **self.env}
            for variable in re.findall(r"\$(\w+)", text):
                text = text.replace(f"${variable}", known.get(variable, ""))
            self.env[name] = text

    def _workdir(self, value: str) -> None:
        self.workdir = value
        self.path(value).mkdir(parents=True, exist_ok=True)

    def _copy(self, value: str) -> None:
        words = value.split()
        flags = dict(w[2:].split("=", 1) for w in words if w.startswith("--"))
        *sources, target = [w for w in words if not w.startswith("--")]
        start = self.stages[flags["from"]] if "from" in flags else ROOT
        target_path = self.path(
            target if target.startswith("/") else f"{self.workdir}/{target}"
        )
        for source in sources:
            source_path = start / source.strip("/")
            if source_path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(
                    source_path, target_path, symlinks=True, dirs_exist_ok=True, ignore=ignored
                )
            else:
                copy_path = (
                    target_path / source_path.name if target.endswith("/") else target_path
                )
                copy_path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source_path, copy_path)

    def _run(self, value: str) -> None:
        if value.startswith("apt-get "):
            return
        (self.root / "opt").mkdir(exist_ok=True)
        code = self.run(value).wait()
        if code:
            sys.exit(f"RUN failed with {code}")

    def _entrypoint(self, value: str) -> None:
        self.commands["entrypoint"] = json.loads(value)

    def _cmd(self, value: str) -> None:
        self.commands["cmd"] = json.loads(value)

    def _healthcheck(self, value: str) -> None:
        self.commands["healthcheck"] = json.loads(value[value.index("[") :])

    def _skip(self, value: str) -> None:
        """Skip instructions without an effect on files: LABEL, EXPOSE, USER, STOPSIGNAL."""


def _image_folders(step: dict[str, str]) -> list[str]:
    """Return the top-level folders of the paths that only the image has."""
    if step["instruction"] not in ("WORKDIR", "COPY"):
        return []
    return re.findall(r"(?<![\w:/.])/(\w+)", step["value"])


def _base_environment(folder: Path, use_installed: bool) -> dict[str, str]:
    """Return the environment of the base image: this Python, and pip's settings."""
    tools = folder / "bin"
    tools.mkdir()
    python = tools / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    inherited = ("HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    environment = {
        k: v for k, v in os.environ.items() if k in inherited or k.startswith("PIP_")
    }
    environment |= {"PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    if use_installed:
        # Links, so that pip finds all installed packages except secondpass.
        packages = folder / "packages"
        packages.mkdir()
        sources = [sysconfig.get_path("purelib"), *os.environ.get("PYTHONPATH", "").split(":")]
        for installed in map(Path, dict.fromkeys(filter(None, sources))):
            for entry in installed.iterdir():
                own = entry.name.lower().startswith(("secondpass", "_editable", "__pycache__"))
                if not own and not (packages / entry.name).exists():
                    (packages / entry.name).symlink_to(entry)
        environment |= {"PYTHONPATH": str(packages), "PIP_NO_BUILD_ISOLATION": "0"}
    return environment


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def files(image: Image) -> dict[str, tuple[int, int]]:
    """Return size and modification time of every file outside of /data."""
    states = {}
    for path in image.root.rglob("*"):
        if path.is_file() and not path.is_relative_to(image.path("/data")):
            status = path.lstat()
            states[str(path)] = (status.st_size, status.st_mtime_ns)
    return states


def send_request(
    port: int, path: str, key: str | None, body: object = None
) -> tuple[int, object]:
    """Send a request; return the status and the JSON of the response."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def serve(image: Image, seconds: float) -> None:
    """Start the server of the image, test it and stop it."""
    entry, port = image.commands["entrypoint"], free_port()
    make = [*entry, "keys", "create", "try", "--keys", "/data/keys.json"]
    key = image.run(make, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).communicate()[0]
    before = files(image)
    ported = [str(port) if word == "8080" else word for word in image.commands["cmd"]]
    with image.run([*entry, *ported], stderr=subprocess.PIPE) as server:
        try:
            wait_ready(port, server, seconds)
            check = [w.replace(":8080/", f":{port}/") for w in image.commands["healthcheck"]]
            assert image.run(check).wait(30) == 0, "HEALTHCHECK failed"
            body = {"query": QUERY, "documents": TEXTS}
            status, reply = send_request(port, "/v1/rerank", key.split()[0], body)
            assert status == 200, f"rerank returned {status}"
            assert isinstance(reply, dict)
            assert reply["results"][0]["index"] == 1, reply
            assert send_request(port, "/v1/rerank", None, body)[0] == 401
            server.send_signal(signal.SIGTERM)
            _, log = server.communicate(timeout=60)
            assert server.returncode == 0, f"it ended with {server.returncode}:\n{log}"
        finally:
            server.kill()
    messages = [json.loads(line)["message"] for line in log.splitlines()]
    assert "stopped" in messages, log
    changed = {name for name, state in files(image).items() if before.get(name) != state}
    assert not changed, f"it wrote outside of /data: {sorted(changed)[:5]}"


def wait_ready(port: int, server: subprocess.Popen[str], seconds: float) -> None:
    """Wait until the server is ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            if send_request(port, "/ready", None)[0] == 200:
                return
        except OSError:
            time.sleep(0.2)
    server.kill()
    sys.exit(f"the server is not ready:\n{server.communicate()[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--borrow", action="store_true", help="install secondpass alone")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--seconds", type=float, default=120, help="until the server must be ready"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        arguments = dict(argument.split("=", 1) for argument in options.arg)
        image = Image(folder, arguments, use_installed=options.borrow)
        image.build(DockerfileParser(path=str(DOCKERFILE)).structure)
        size = sum(size for size, _ in files(image).values())
        print(f"-- {size / 1e6:.0f} MB on top of the base image", flush=True)
        serve(image, options.seconds)
    print("The image builds, serves and stops.")


if __name__ == "__main__":
    main()
