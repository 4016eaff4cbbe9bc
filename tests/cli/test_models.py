"""`secondpass models` and rerankers by bare name, against a Hub on loopback."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass import plain_progress
from secondpass.cli import output
from secondpass.inference import hub_client
from secondpass.inference.model_lock import FILE_NAME, cache_lock
from tests.cli.conftest import Run
from tests.loopback.hub import Hub, serve_hub, use_hub
from tests.tiny_models import tiny_cross_encoder

COMMIT, NEXT = "a" * 40, "b" * 40
NAME = "tiny/ranker"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "repository"
    tiny_cross_encoder(folder)
    return folder


@pytest.fixture
def hub(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    moved = shutil.copytree(model, tmp_path / "moved")
    (moved / "config.json").write_text((model / "config.json").read_text() + "\n")
    with serve_hub() as server:
        use_hub(server.url, tmp_path / "home", monkeypatch)
        server.add(NAME, COMMIT, model).commits[NEXT] = moved
        yield server


def test_rerank_by_a_bare_name(run: Run, hub: Hub) -> None:
    ran = run("rerank", "a question", "--model", NAME, "--json", stdin=b"a text\nmore\n")
    assert ran.code == 0, ran.err
    assert ran.json["model"] == NAME
    assert f"Note: {NAME} is commit {COMMIT}" in ran.err
    assert f"{NAME}@{COMMIT}" in ran.err
    again = run("rerank", "a question", "--model", NAME, "--json", stdin=b"a text\nmore\n")
    assert COMMIT not in again.err


def test_models_are_pinned_listed_and_updated(run: Run, hub: Hub) -> None:
    ran = run("models", "pin", NAME, "--json")
    assert ran.code == 0, ran.err
    (pinned,) = ran.json["models"]
    assert (pinned["commit"], pinned["previous"], pinned["files"]) == (COMMIT, None, 3)
    assert ran.json["lock"] == str(Path(FILE_NAME).absolute())
    listed = {m["name"]: m for m in run("models", "--json").json["models"]}
    entry = listed[f"{NAME}@{COMMIT}"]
    locks = [Path(FILE_NAME).absolute(), cache_lock().path]
    assert entry["pins"] == [{"name": NAME, "lock": str(lock)} for lock in locks]
    assert entry["where"] == "cached"
    assert f"pin: {NAME} in {Path(FILE_NAME).absolute()}" in run("models").out

    hub.repositories[NAME].branches["main"] = NEXT
    assert COMMIT in run("models", "pin").out
    before = Path(FILE_NAME).read_text()
    ran = run("models", "download", NAME, "--update")
    assert ran.code == 2
    assert f"secondpass models pin {NAME} --update" in ran.err
    ran = run("models", "pin", "--update")
    assert f"{NAME} is pinned to {NEXT}, was {COMMIT}" in ran.out
    assert NEXT not in before
    assert json.loads(Path(FILE_NAME).read_text())["models"][NAME]["commit"] == NEXT


def test_another_lock_file(
    run: Run, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "team.lock"
    assert run("models", "pin", NAME, "--lock", lock).code == 0
    assert not Path(FILE_NAME).exists()
    monkeypatch.setenv("SECONDPASS_MODELS_LOCK", str(tmp_path / "env.lock"))
    monkeypatch.setenv("SECONDPASS_REQUIRE_REVISION", "1")
    assert run("models", "pin", f"{NAME}@main").code == 0
    assert run("models", "download", f"{NAME}@main").code == 0
    ran = run("models", "download", NAME)
    assert ran.code == 1
    assert "needs an exact revision" in ran.err
    shutil.rmtree(hub_client.repository_folder(NAME))
    listed = {m["name"]: m for m in run("models", "--json").json["models"]}
    assert listed[f"{NAME}@{COMMIT}"]["where"] == "not downloaded"
    assert run("models", "pin", "--lock", tmp_path / "empty.lock").code == 2


def test_download_repairs_and_updates(run: Run, hub: Hub) -> None:
    ran = run("models", "download", NAME, "--json")
    (model,) = ran.json["models"]
    assert model["commit"] == COMMIT
    assert model["lock"] == str(cache_lock().path)
    weights = Path(model["path"]) / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(b"damaged")
    ran = run("rerank", "a question", "--model", NAME, stdin=b"a text\n")
    assert ran.code == 1
    assert f"secondpass models download {NAME}" in ran.err
    assert run("models", "download", NAME).code == 0
    assert weights.read_bytes() == content
    hub.repositories[NAME].branches["main"] = NEXT
    assert NEXT in run("models", "download", NAME, "--update").out


@pytest.mark.parametrize("name", ["bundled", "./folder", "a/b/c", "a/b@"])
def test_only_repositories_are_downloaded(run: Run, hub: Hub, name: str) -> None:
    for command in ("download", "pin"):
        ran = run("models", command, name)
        assert ran.code in (1, 2)
        assert ran.err.startswith("Error: ")
    assert not hub.requests


def test_a_model_from_the_cache_alone_is_not_pinned(
    run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    assert run("models", "download", NAME).code == 0
    cache_lock().path.unlink()
    reference = hub_client.repository_folder(NAME) / "refs" / "main"
    reference.parent.mkdir()
    reference.write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    ran = run("models", "pin", NAME)
    assert ran.code == 1
    assert "cannot be pinned without the Hub" in ran.err
    assert not Path(FILE_NAME).exists()


def test_doctor_names_the_locks(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    run("models", "pin", NAME)
    monkeypatch.setenv("SECONDPASS_REQUIRE_REVISION", "1")
    report = run("doctor", "--json").json["model_locks"]
    assert report["project"] == {"path": str(Path(FILE_NAME).absolute()), "models": 1}
    assert report["cache"] == {"path": str(cache_lock().path), "models": 1}
    assert report["require_revision"] is True
    Path(FILE_NAME).write_text("numpy==2.0\n")
    ran = run("doctor")
    assert ran.code == 1
    assert f"PROBLEM: The lock file of models cannot be read ({Path(FILE_NAME).absolute()}" in (
        ran.out
    )


def test_a_download_writes_lines_without_a_terminal(
    run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_progress, "BEGIN_AFTER", 0.0)
    ran = run("models", "download", NAME)
    assert f"Downloading {NAME}: started" in ran.err
    assert f"Downloading {NAME}: finished" in ran.err


def test_one_bar_at_a_time_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with output.working("Reranking"):
        (outer,) = output._shown
        with output.downloading("Downloading a/b") as update:
            assert not outer.live.is_started
            update(1_000_000, 2_000_000)
            update(2_000_000, 2_000_000)
        assert outer.live.is_started
    assert not output._shown
    # It ended before the bar was due.
    assert "Downloading" not in screen.getvalue()
