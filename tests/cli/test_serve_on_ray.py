"""What `secondpass serve --on ray` refuses before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

from secondpass import Index
from secondpass.cluster.serve_on_ray import RayOptions, build, parse_replicas
from secondpass.errors import InputError
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("served") / "docs"
    with Index.open(folder) as index:
        index.add(["tea is hot"])
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--on", "dask"], "There is no place 'dask' for work"),
        (["--shards", "2"], "--shards is for a server on Ray"),
        (["--address", "auto"], "--address is for a server on Ray"),
        (["--on", "ray", "--shards", "0"], "--shards cannot be 0"),
        (["--on", "ray", "--replicas", "0"], "--replicas cannot be 0:0"),
        (["--on", "ray", "--replicas", "3:1"], "--replicas cannot be 3:1"),
        (["--on", "ray", "--replicas", "many"], "--replicas cannot be 'many'"),
        (["--on", "ray", "--shard-timeout", "0"], "--shard-timeout must be above 0"),
        (["--on", "ray", "--scale-delays", "5"], "--scale-delays cannot be '5'"),
        (["--on", "ray", "--scale-delays", "-1:5"], "--scale-delays cannot be -1:5"),
        (["--on", "ray", "--grpc-port", "0"], "--grpc-port cannot be used with --on ray"),
        (["--on", "ray", "--data", "data"], "--data cannot be used with --on ray"),
    ],
)
def test_options_that_cannot_be_used(
    run: Run, place: str, arguments: list[str], said: str
) -> None:
    ran = run("serve", "--index", f"docs={place}", *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_there_must_be_an_index(run: Run, tmp_path: Path) -> None:
    ran = run("serve", "--on", "ray")
    assert ran.code == 2
    assert "There is no index to search" in ran.err
    ran = run("serve", "--on", "ray", "--index", tmp_path / "none")
    assert ran.code != 0
    assert "there is no index" in ran.err
    ran = run("serve", "--on", "ray", "--index", f"docs=file://{tmp_path}/none")
    assert ran.code != 0
    assert "secondpass index FILES --index" in ran.err


def test_an_address_without_ray_is_an_error(run: Run, place: str) -> None:
    ran = run("serve", "--on", "ray", "--address", "127.0.0.1:1", "--index", place)
    assert ran.code == 2
    assert "There is no Ray at this address" in ran.err


def test_the_extra_is_named(run: Run, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = run("serve", "--on", "ray", "--port", "0", "--index", place)
    assert ran.code != 0
    assert "secondpass[ray]" in ran.err


def test_replicas_are_a_number_or_two() -> None:
    assert parse_replicas("3") == (3, 3)
    assert parse_replicas("1:4") == (1, 4)
    assert RayOptions(shards=2, replicas=(1, 4)).replicas == (1, 4)
    with pytest.raises(InputError):
        parse_replicas("1:")


def test_a_file_for_ray_has_known_fields_and_names_keys(place: str) -> None:
    with pytest.raises(InputError, match=r"unknown field 'shard'.*shards"):
        build({"indexes": {"docs": place}, "shard": 2})
    # What Ray serves can be reached from other machines.
    with pytest.raises(InputError, match="no keys"):
        build({"indexes": {"docs": place}, "replicas": "1:2"})
    with pytest.raises(InputError, match="--data cannot be used"):
        build({"data": Path("data"), "keys": "keys.json"})
