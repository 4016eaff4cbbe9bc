from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from secondpass import models
from secondpass.inference.int8_cache import int8_folder, store_outcome
from tests.cli.conftest import Run
from tests.loopback.redis_server import needs_redis, redis_server


def test_models_are_listed_with_licence_size_and_checksum(run: Run) -> None:
    found = {m["name"]: m for m in run("models", "--json").json["models"]}
    for name in models.BUNDLED:
        assert found[name]["bytes"] > 1_000_000
        assert len(found[name]["sha256"]) == 64
        assert found[name]["license"]
    assert "bundled-embedder" in run("models").out


def test_int8_models_made_at_load_are_listed_and_deleted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    quality = {
        "top_10_overlap": 0.95,
        "questions": 16,
        "logit_error_mean": 0.03,
        "logit_error_p95": 0.2,
        "logit_error_max": 0.5,
    }
    for name, refused in (("good", None), ("bad", "it keeps 0.500 of the top 10")):
        (int8_folder() / name).mkdir(parents=True)
        (int8_folder() / name / "model.onnx").write_bytes(bytes(2_000_000))
        store_outcome(int8_folder() / name, name, refused=refused, quality=quality)
    listed = run("models").out
    assert "good  (int8 cache, 2.0 MB)" in listed
    assert "check: keeps 0.950 of the top 10" in listed
    assert "refused: it keeps 0.500" in listed
    found = {m["name"]: m for m in run("doctor", "--json").json["int8_models"]}
    assert found["bad"]["refused"] == "it keeps 0.500 of the top 10"
    assert "0.030 on average" in found["good"]["check"]
    ran = run("models", "clear", "goat")
    assert ran.code == 2
    assert "Did you mean 'good'?" in ran.err
    assert run("models", "clear", "bad", "--json").json["deleted"][0]["name"] == "bad"
    assert "1 int8 models deleted, 2.0 MB" in run("models", "clear").out
    assert not any((int8_folder() / name).exists() for name in ("good", "bad"))


def test_known_models_are_listed_with_figures_and_obstacles(run: Run) -> None:
    found = {m["name"]: m for m in run("models", "known", "--json").json["models"]}
    qwen = found["Qwen/Qwen3-Reranker-0.6B"]
    assert qwen["prompt"]["positive"] == "yes"
    assert qwen["quality"][0]["source"].startswith("https://")
    assert found["BAAI/bge-reranker-v2-minicpm-layerwise"]["runs"] == "no"
    shown = run("models", "known").out
    assert "needs code of its repository" in shown
    assert "not for commercial use" in shown
    ran = run("models", "knwon")
    assert ran.code == 2
    assert "Did you mean 'known'" in ran.err


def test_doctor_is_content_here(run: Run) -> None:
    ran = run("doctor", "--json")
    assert ran.code == 0
    assert ran.json["ok"] is True
    assert [m["ok"] for m in ran.json["models"]] == [True] * len(models.BUNDLED)
    assert ran.json["packages"]["onnxruntime"]
    assert "All is well" in run("doctor").out


def test_a_damaged_model_is_found(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in models.BUNDLED:
        shutil.copytree(models.bundled_path(name), tmp_path / name)
    weights = tmp_path / "bundled" / "model.onnx"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    ran = run("rerank", "a question", "--model", tmp_path / "bundled", stdin=b"a text\n")
    assert ran.code == 1
    assert "model.onnx is damaged" in ran.err
    monkeypatch.setattr(models, "__file__", str(tmp_path / "__init__.py"))
    ran = run("doctor", "--json")
    assert ran.code == 1
    ok = {m["name"]: m["ok"] for m in ran.json["models"]}
    assert ok == {name: name != "bundled" for name in models.BUNDLED}
    assert "is damaged" in ran.json["models"][0]["problem"]


def test_help_has_an_example_for_every_command(run: Run) -> None:
    reading = ("index", "search", "rerank", "models", "doctor", "bench")
    for command in (*reading, "export", "mine", "train", "distill"):
        ran = run(command, "--help")
        assert ran.code == 0
        assert "Example:" in ran.out
        assert "--json" in ran.out
    assert "Exit codes" in run("--help").out
    assert run("--version").out.startswith("secondpass ")


def test_the_help_is_printed_without_numpy() -> None:
    code = "import sys, secondpass.cli.app; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_warning_has_no_line_of_the_program(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn() -> None:
        warnings.warn("the states were not stored", stacklevel=2)

    monkeypatch.setattr("secondpass.cli.app.app", warn)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", _show)
        assert run().err == "Warning: the states were not stored\n"


def _show(
    message: Warning | str, category: type[Warning], file: str, line: int, *_: object
) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, file, line))


@needs_redis
def test_doctor_checks_a_score_cache(run: Run) -> None:
    pytest.importorskip("redis", reason="the extra redis is not installed")
    with redis_server("--requirepass", "hidden") as server:
        url = server.url.replace("//", "//:hidden@")
        ran = run("doctor", "--cache", url)
        assert ran.code == 0
        assert f"score cache redis://127.0.0.1:{server.port}/0: Redis " in ran.out
        assert "set one, with maxmemory-policy allkeys-lru" in ran.out
        found = run("doctor", "--cache", server.url, "--json")
        assert found.code == 1
        assert found.json["score_cache"]["problem"] == "it refused the user or the password"
        assert "hidden" not in ran.out + ran.err + found.out + found.err
    gone = run("doctor", "--cache", url)
    assert gone.code == 1
    assert "PROBLEM: it cannot be reached; searches do without it" in gone.out
    assert run("doctor", "--cache", "scores.sqlite").code == 2
