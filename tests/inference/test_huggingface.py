"""Models by name with the real client of the Hub, against a Hub on loopback."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass.errors import (
    InputError,
    ModelDamagedError,
    ModelError,
    ModelNotFoundError,
)
from secondpass.inference import hub_client
from secondpass.inference.huggingface import (
    canonical_name,
    download,
    fetch_model,
    list_cached,
    split_revision,
)
from secondpass.inference.model_folder import open_folder
from secondpass.inference.model_lock import FILE_NAME, cache_lock
from secondpass.registry import load_reranker, resolve
from tests.loopback.hub import Hub, Repository, serve_hub, use_hub
from tests.tiny_models import tiny_cross_encoder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEXT = COMMIT[::-1]
NAME = "tiny/ranker"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "repository"
    tiny_cross_encoder(folder)
    (folder / "README.md").write_text("not needed")
    return folder


@pytest.fixture
def hub(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    shutil.copytree(model, tmp_path / "repository")
    with serve_hub() as server:
        use_hub(server.url, tmp_path / "home", monkeypatch)
        server.add(NAME, COMMIT, tmp_path / "repository")
        yield server


@pytest.fixture
def repository(hub: Hub) -> Repository:
    return hub.repositories[NAME]


def move_branch(hub: Hub) -> None:
    """Move the branch main to another commit, with other weights."""
    repository = hub.repositories[NAME]
    files = repository.commits[COMMIT]
    moved = files.with_name("moved")
    shutil.copytree(files, moved)
    tiny_cross_encoder(moved, "roberta")
    repository.commits[NEXT] = moved
    repository.branches["main"] = NEXT


def set_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def run_python(hub: Hub, home: Path, code: str) -> subprocess.Popen[str]:
    """Start a process with the environment variables of the Hub."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_first_try_of_a_bare_name(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "secondpass"):
        reranker = load_reranker(NAME)
    assert reranker.model == NAME
    assert reranker.rerank("how do i", ["change my password", "bread"]).results
    assert f"{NAME}@{COMMIT}" in caplog.text
    assert str(cache_lock().path) in caplog.text
    assert sorted(hub.downloads()) == ["config.json", "model.safetensors", "tokenizer.json"]
    caplog.clear()
    hub.requests.clear()
    load_reranker(NAME)
    assert not hub.requests
    assert not caplog.records


def test_a_name_stays_at_its_commit_when_the_branch_moves(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    folder = download(NAME)
    move_branch(hub)
    assert download(NAME) == folder
    assert download(NAME, "main").name == NEXT
    assert fetch_model(NAME, update=True).pin.commit == NEXT
    assert download(NAME).name == NEXT


def test_an_exact_commit(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    move_branch(hub)
    assert load_reranker(f"{NAME}@{COMMIT}").model == f"{NAME}@{COMMIT}"
    assert not caplog.records
    exact = load_reranker(NAME, revision=COMMIT)
    assert exact.model == NAME
    # Taken from the lock, and the same as computed.
    assert resolve(NAME, revision=COMMIT).digest == open_folder(download(NAME, COMMIT)).digest
    with pytest.raises(InputError, match="names another revision"):
        load_reranker(f"{NAME}@{COMMIT}", revision=NEXT)
    with pytest.raises(ModelNotFoundError, match="at that revision"):
        download(NAME, "f" * 40)


def test_branches_and_tags_are_locked_each(hub: Hub, repository: Repository) -> None:
    repository.branches["refs/pr/1"] = repository.branches["v1.0"] = COMMIT
    assert download(NAME, "refs/pr/1").name == COMMIT
    assert download(NAME, "v1.0").name == COMMIT
    assert set(cache_lock().pins()) == {f"{NAME}@refs/pr/1", f"{NAME}@v1.0"}
    with pytest.raises(ModelNotFoundError, match="at that revision"):
        download(NAME, "v2.0")


def test_offline_the_lock_and_the_cache_are_used(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = download(NAME)
    set_offline(monkeypatch)
    assert download(NAME) == folder
    assert download(NAME, COMMIT) == folder
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        download("tiny/other")
    assert [name for name, _, _ in list_cached()] == [f"{NAME}@{COMMIT}"]


def test_offline_a_model_that_another_program_downloaded(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from huggingface_hub import hf_hub_download

    for name in ("config.json", "tokenizer.json"):
        hf_hub_download(NAME, name)
    set_offline(monkeypatch)
    with pytest.raises(ModelError, match="not in the cache"):
        download(NAME)
    monkeypatch.undo()
    monkeypatch.chdir(hub.repositories[NAME].commits[COMMIT].parent / "work")
    use_hub(hub.url, Path.cwd().parent / "home", monkeypatch)
    hf_hub_download(NAME, "model.safetensors")
    set_offline(monkeypatch)
    assert fetch_model(NAME).from_cache
    assert "not compared" in caplog.text
    assert not cache_lock().pins()


def test_a_changed_file_is_named_and_downloaded_again(hub: Hub) -> None:
    folder = download(NAME)
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes(b"something else")
        with pytest.raises(ModelDamagedError, match=name) as caught:
            load_reranker(NAME)
        assert f"secondpass models download {NAME}" in str(caught.value)
        fetch_model(NAME, repair=True)
        assert load_reranker(NAME).rerank("a", ["b"]).results


def test_weights_that_are_not_recorded_are_not_loaded(hub: Hub) -> None:
    (download(NAME) / "model.onnx").write_bytes(b"graph")
    with pytest.raises(ModelDamagedError, match=r"model\.onnx is not recorded"):
        load_reranker(NAME)


def test_a_gated_model(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.token = "hf_secret"
    with pytest.raises(ModelError, match="agreed to its terms") as caught:
        download(NAME)
    assert "HF_TOKEN" in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ModelError) as caught:
        download(NAME)
    assert "hf_wrong" not in str(caught.value)
    assert not cache_lock().pins()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert download(NAME).name == COMMIT
    repository.private = True
    monkeypatch.delenv("HF_TOKEN")
    assert download(NAME).name == COMMIT
    with pytest.raises(ModelNotFoundError, match="no model 'tiny/ranker'"):
        fetch_model(NAME, update=True)


def test_the_token_is_sent_to_no_other_server(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serve_hub() as content:
        content.add(NAME, COMMIT, repository.commits[COMMIT])
        hub.content_url = content.url
        download(NAME)
        assert content.downloads() == ["model.safetensors"]
        assert {request.authorization for request in content.requests} == {""}
    assert {request.authorization for request in hub.requests} >= {"Bearer hf_secret"}


def test_bars_that_the_program_has_disabled_stay_so(hub: Hub) -> None:
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    download(NAME)
    assert not are_progress_bars_disabled("huggingface_hub.http_get")
    shutil.rmtree(hub_client.cache_folder())
    disable_progress_bars()
    try:
        download(NAME)
        assert are_progress_bars_disabled("huggingface_hub.http_get")
    finally:
        enable_progress_bars()


def test_an_interrupted_download_goes_on_where_it_stopped(
    hub: Hub, repository: Repository
) -> None:
    weights = repository.commits[COMMIT] / "model.safetensors"
    hub.faults.cut_after = 40_000
    code = f"""
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 8192
from secondpass.inference.huggingface import download
download({NAME!r})"""
    process = run_python(hub, hub_client.cache_folder().parent, code)
    # At the second cut the client has written what came before the first.
    assert hub.cut.acquire(timeout=60)
    assert hub.cut.acquire(timeout=60)
    process.kill()
    process.communicate()
    assert not cache_lock().pins()
    assert not (hub_client.snapshot_folder(NAME, COMMIT) / "model.safetensors").exists()
    hub.faults.cut_after = None
    hub.requests.clear()
    folder = download(NAME)
    assert (folder / "model.safetensors").read_bytes() == weights.read_bytes()
    (asked,) = (r for r in hub.requests if r.method == "GET" and "safetensors" in r.path)
    assert int(asked.range.removeprefix("bytes=").rstrip("-")) >= 32_768


def test_a_partial_file_is_continued_and_checked(hub: Hub, repository: Repository) -> None:
    weights = (repository.commits[COMMIT] / "model.safetensors").read_bytes()
    checksum = hub_client.sha256(repository.commits[COMMIT] / "model.safetensors")
    blobs = hub_client.repository_folder(NAME) / "blobs"
    blobs.mkdir(parents=True)
    partial = blobs / f"{checksum}.secondpass.incomplete"
    partial.write_bytes(weights[:1000])
    download(NAME)
    (asked,) = (r for r in hub.requests if r.method == "GET" and "safetensors" in r.path)
    assert asked.range == "bytes=1000-"
    assert not partial.exists()

    shutil.rmtree(blobs.parent)
    blobs.mkdir(parents=True)
    partial.write_bytes(b"x" * 1000)
    with pytest.raises(ModelDamagedError, match="another one than expected"):
        download(NAME)
    counted = []
    hub.faults.ignore_ranges = True
    partial.write_bytes(b"x" * 1000)
    hub_client.fetch_file(NAME, COMMIT, "model.safetensors", count=counted.append)
    assert sum(counted) == len(weights)
    assert load_reranker(NAME).rerank("a", ["b"]).results


def test_two_processes_at_once(hub: Hub) -> None:
    home = hub_client.cache_folder().parent
    code = f"""
from secondpass.inference.huggingface import download
print(download({NAME!r}))"""
    processes = [run_python(hub, home, code) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert ends[0][0] == ends[1][0]
    assert hub.downloads().count("model.safetensors") == 1
    assert set(cache_lock().pins()) == {NAME}


def test_a_full_disk_is_one_clear_error(hub: Hub, repository: Repository) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    checksum = hub_client.sha256(repository.commits[COMMIT] / "model.safetensors")
    blobs = hub_client.repository_folder(NAME) / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{checksum}.secondpass.incomplete").symlink_to("/dev/full")
    with pytest.raises(ModelError, match="the disk is full"):
        download(NAME)
    assert not cache_lock().pins()


def test_a_hub_that_fails_or_is_none(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.faults.status = 500
    with pytest.raises(ModelError, match="cannot be downloaded"):
        download(NAME)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="HF_ENDPOINT"):
        download(NAME)


def test_strict_mode(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    download(NAME)
    monkeypatch.setenv("SECONDPASS_REQUIRE_REVISION", "1")
    hub.requests.clear()
    for revision in ("", "main", COMMIT[:12]):
        with pytest.raises(ModelError, match="needs an exact revision") as caught:
            download(NAME, revision)
        assert "secondpass models pin" in str(caught.value)
    assert not hub.requests
    assert download(NAME, COMMIT).name == COMMIT
    shutil.copy(cache_lock().path, FILE_NAME)
    assert download(NAME).name == COMMIT


def test_a_committed_lock_is_followed_on_another_machine(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download(NAME)
    move_branch(hub)
    lock = tmp_path / "team.lock"
    cache_lock().path.rename(lock)
    use_hub(hub.url, tmp_path / "other home", monkeypatch)
    monkeypatch.setenv("SECONDPASS_MODELS_LOCK", str(lock))
    hub.requests.clear()
    assert fetch_model(NAME).lock == lock
    assert download(NAME).name == COMMIT
    assert not [r for r in hub.requests if r.path.startswith("/api/models")]
    monkeypatch.setenv("SECONDPASS_MODELS_LOCK", "")
    assert download(NAME).name == NEXT
    monkeypatch.setenv("SECONDPASS_MODELS_LOCK", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="not there"):
        download(NAME)


def test_a_mirror_with_other_files_than_the_lock_is_refused(
    hub: Hub, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download(NAME)
    shutil.copy(cache_lock().path, FILE_NAME)
    for name in ("model.safetensors", "tokenizer.json"):
        use_hub(hub.url, tmp_path / name, monkeypatch)
        with (repository.commits[COMMIT] / name).open("ab") as file:
            file.write(b" ")
        with pytest.raises(ModelDamagedError, match=name):
            download(NAME)
        (repository.commits[COMMIT] / name).write_bytes(
            (repository.commits[COMMIT] / name).read_bytes()[:-1]
        )


def test_a_commit_that_has_vanished(
    hub: Hub, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = download(NAME)
    shutil.copy(cache_lock().path, FILE_NAME)
    move_branch(hub)
    del repository.commits[COMMIT]
    assert download(NAME) == folder
    use_hub(hub.url, tmp_path / "other home", monkeypatch)
    with pytest.raises(ModelNotFoundError, match="no longer in the repository") as caught:
        download(NAME)
    assert f"secondpass models pin {NAME} --update" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "numpy==2.0\n",
        "[]",
        '{"format": 2, "models": {}}',
        '{"format": 1, "models": {"a/b": {"commit": "main", "files": {}}}}',
        json.dumps({"format": 1, "models": {"a/b": {"commit": COMMIT, "files": {"../c": {}}}}}),
    ],
)
def test_a_lock_that_cannot_be_read(hub: Hub, content: str) -> None:
    Path(FILE_NAME).write_text(content)
    with pytest.raises(ModelDamagedError, match=r"lock file .* cannot be read"):
        download(NAME)
    Path(FILE_NAME).unlink()
    cache_lock().path.parent.mkdir(parents=True)
    cache_lock().path.write_text(content)
    with pytest.raises(ModelDamagedError, match="Delete it"):
        download(NAME)


def test_a_cache_that_cannot_hold_a_lock(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    cache_lock().path.parent.parent.mkdir(parents=True)
    cache_lock().path.parent.write_text("a file where a folder should be")
    assert fetch_model(NAME).lock is None
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("repository", "revision"),
    [
        ("a/..", ""),
        ("../a", ""),
        ("a/b/c", ""),
        ("a--b/c", ""),
        ("a/b" * 50, ""),
        ("a/b", ".."),
        ("a/b", "../../c"),
        ("a/b", "/etc"),
        ("a/b", "x//y"),
        ("a/b", "x y"),
        ("a/b", "x?y"),
        ("a/b\n", ""),
    ],
)
def test_hostile_names(hub: Hub, repository: str, revision: str) -> None:
    with pytest.raises(ModelNotFoundError, match="cannot be"):
        download(repository, revision)
    assert not hub.requests


def test_hostile_file_names_are_not_considered(hub: Hub, repository: Repository) -> None:
    hub.faults.extra_names = ["../model.onnx", "/onnx/model.onnx", "a/../model.onnx", "..", ""]
    folder = download(NAME)
    assert {path.rsplit("/", 1)[-1] for path in hub.downloads()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    assert folder.name == COMMIT


def test_names() -> None:
    assert canonical_name("a/b", "") == "a/b"
    assert canonical_name("a/b", "refs/pr/1") == "a/b@refs/pr/1"
    assert split_revision("a/b@v1") == ("a/b", "v1")
    with pytest.raises(InputError, match="no revision after the @"):
        split_revision("a/b@")


def test_no_file_of_code_and_no_pickle_is_downloaded(hub: Hub, repository: Repository) -> None:
    files = repository.commits[COMMIT]
    for name in ("modeling.py", "pytorch_model.bin", "training_args.bin"):
        (files / name).write_bytes(b"raise SystemExit")
    folder = download(NAME)
    assert {f.name for f in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }


def test_pickles_only_and_custom_code_are_refused(hub: Hub, repository: Repository) -> None:
    files = repository.commits[COMMIT]
    config = json.loads((files / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Model"}
    (files / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="needs code") as caught:
        download(NAME)
    assert "optimum-cli export onnx" in str(caught.value)
    (files / "model.safetensors").rename(files / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError, match=r"neither.*pytorch_model\.bin"):
        download(NAME)
    assert "pytorch_model.bin" not in hub.downloads()
    assert not cache_lock().pins()
    (files / "onnx").mkdir()
    (files / "onnx" / "model.onnx").write_bytes(b"graph")
    assert (download(NAME) / "onnx" / "model.onnx").read_bytes() == b"graph"


def test_a_name_that_is_nothing_gets_the_nearest() -> None:
    with pytest.raises(ModelNotFoundError, match="Did you mean 'bundled'"):
        load_reranker("bundeld")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cohre/rerank-v3.5", "'cohere/rerank-v3.5'"),
        ("voyge/rerank-2.5", "'voyage/rerank-2.5'"),
        ("opanai/some-model", "'openai/some-model'"),
    ],
)
def test_a_mistyped_provider(hub: Hub, name: str, meant: str) -> None:
    with pytest.raises(ModelNotFoundError, match=f"Did you mean {meant}"):
        load_reranker(name)
    with pytest.raises(ModelNotFoundError) as caught:
        load_reranker("quite/another")
    assert "Did you mean" not in str(caught.value)
