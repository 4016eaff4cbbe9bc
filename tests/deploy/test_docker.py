"""The image and its Compose file: linted, validated, and executed without Docker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from secondpass.cli.app import app
from tests.deploy.conftest import DEPLOY, ROOT, documents

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
COMPOSE = DEPLOY / "docker" / "compose.yaml"


def steps(name: str) -> list[str]:
    parser = pytest.importorskip("dockerfile_parse", reason="the group dev is not installed")
    structure = parser.DockerfileParser(path=str(DOCKERFILE)).structure
    return [step["value"] for step in structure if step["instruction"] == name]


def test_linter_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    found = str(beside) if beside.exists() else shutil.which("hadolint")
    if found is None:
        pytest.skip("the group dev is not installed")
    done = subprocess.run([found, str(DOCKERFILE)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_image_has_two_stages_no_root_and_no_latest() -> None:
    bases = steps("FROM")
    assert len(bases) == 2
    (version,) = [value for value in steps("ARG") if value.startswith("PYTHON=")]
    assert version.removeprefix("PYTHON=").split(".") >= ["3", "11"]
    assert all(base.startswith("python:${PYTHON}-slim") for base in bases)
    (user,) = steps("USER")
    assert user.split(":")[0].isdigit()
    assert user.split(":")[0] != "0"
    assert len(steps("HEALTHCHECK")) == 1
    copied = [value for value in steps("COPY") if not value.startswith("--from")]
    assert copied == [
        "requirements/lock.txt requirements/",
        "pyproject.toml hatch_build.py README.md LICENSE NOTICE ./",
        "src src",
        "examples/wikipedia examples/wikipedia",
    ]


def test_copied_files_are_not_ignored() -> None:
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    wanted = {
        word
        for value in steps("COPY")
        if not value.startswith("--from")
        for word in value.split()[:-1]
    }
    assert kept == wanted
    assert all((ROOT / name).exists() for name in kept)


def test_server_accepts_the_arguments_of_the_image() -> None:
    command: Any = typer.main.get_command(app)
    (cmd,) = steps("CMD")
    name, *rest = json.loads(cmd)
    given = command.commands[name].make_context(name, rest).params
    assert (given["host"], given["port"], given["log"]) == ("0.0.0.0", 8080, "json")
    (home,) = [v.split("=")[1] for value in steps("ENV") for v in value.split() if "HOME=" in v]
    assert Path(given["keys"]).parent == Path(home)


def test_compose_is_valid_and_its_mounts_exist() -> None:
    spec = pytest.importorskip("compose_spec", reason="the group dev is not installed")
    text = COMPOSE.read_text("utf-8")
    assert sorted(spec.PyCompose.from_yaml(text).service_names()) == [
        "grafana", "prometheus", "redis", "secondpass"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="read_onli"):
        spec.PyCompose.from_yaml(text.replace("read_only", "read_onli"))
    (found,) = documents(COMPOSE)
    for service in found["services"].values():
        assert not service["image"].endswith("latest")
        assert ":" in service["image"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE.parent / source).is_file()
            else:
                assert source in found["volumes"]
    assert [n for n, s in found["services"].items() if "profiles" not in s] == ["secondpass"]
    own = found["services"]["secondpass"]
    assert (COMPOSE.parent / own["build"]["context"]).resolve() == ROOT
    assert (ROOT / own["build"]["dockerfile"]) == DOCKERFILE


def test_image_builds_answers_and_stops() -> None:
    pytest.importorskip("hatchling", reason="the group dev is not installed")
    pytest.importorskip("lancedb", reason="the extra index is not installed")
    command = [sys.executable, "scripts/exercise_dockerfile.py", "--borrow"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith("The image builds, serves and stops.\n")
