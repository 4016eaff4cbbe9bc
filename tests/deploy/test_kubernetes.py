"""The manifests: valid by Kubernetes' own schemas, and consistent with each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main

from secondpass.cli.app import app
from secondpass.cli.serve import parse_index_options
from secondpass.server.app import create_app
from secondpass.server.settings import ServerSettings
from tests.deploy.conftest import DEPLOY, documents

FOLDER = DEPLOY / "kubernetes"
FILES = sorted(p for p in FOLDER.rglob("*.yaml") if p.name != "kustomization.yaml")
VARIANTS = ("rerank", "search", "readers")
OLDEST, NEWEST = "1.29", "1.34"


def collected(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send: the resources of a folder and those that it names."""
    (settings,) = documents(folder / "kustomization.yaml")
    found: list[dict[str, Any]] = []
    for name in settings["resources"]:
        path = folder / name
        found += collected(path) if path.is_dir() else documents(path)
    return found


def of_kind(variant: str, kind: str) -> dict[str, Any]:
    # A policy with another name adds to the one of all variants.
    found, *_ = [one for one in collected(FOLDER / variant) if one["kind"] == kind]
    return found


def container(variant: str) -> dict[str, Any]:
    (found,) = of_kind(variant, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(FOLDER)))
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_manifest_is_valid(path: Path, version: str) -> None:
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="the group dev is not installed"
    )
    for one in documents(path):
        kubernetes.validate(one, version, strict=True)


def test_validation_finds_faults() -> None:
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="the group dev is not installed"
    )
    wrong = of_kind("rerank", "Deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(wrong, NEWEST, strict=True)


def test_every_file_is_used_except_examples() -> None:
    used = {p.name for name in (*VARIANTS, "redis") for p in _files(FOLDER / name)}
    examples = {"secret.example.yaml", "storage.example.yaml", "hpa-waiting-tokens.yaml"}
    assert {p.name for p in FILES} - used == examples


def _files(folder: Path) -> list[Path]:
    (settings,) = documents(folder / "kustomization.yaml")
    paths = [folder / name for name in settings["resources"]]
    return [f for p in paths for f in (_files(p) if p.is_dir() else [p])]


@pytest.mark.parametrize("variant", VARIANTS)
def test_server_accepts_its_arguments(variant: str) -> None:
    command: Any = typer.main.get_command(app)
    name, *rest = container(variant)["args"]
    given = command.commands[name].make_context(name, rest).params
    assert given["host"] == "0.0.0.0"
    assert given["log"] == "json"
    cpu = container(variant)["resources"]
    assert str(given["threads"]) == cpu["limits"]["cpu"] == cpu["requests"]["cpu"]
    assert (given["data"] is not None) == (variant == "search")
    (port,) = container(variant)["ports"]
    assert port["containerPort"] == given["port"]
    pod = of_kind(variant, "Deployment")["spec"]["template"]["spec"]
    mounts = {m["mountPath"] for m in container(variant)["volumeMounts"]}
    assert str(Path(given["keys"]).parent) in mounts
    assert {v["name"] for v in pod["volumes"]} == {
        m["name"] for m in container(variant)["volumeMounts"]
    }
    grace = 5 + 2 * given["drain"]
    assert pod["terminationGracePeriodSeconds"] > grace


@pytest.mark.parametrize("variant", VARIANTS)
def test_probed_paths_exist(variant: str) -> None:
    routes: Any = create_app(ServerSettings()).router.routes
    paths = {getattr(route, "path", None) for route in routes}
    probes = {k: v for k, v in container(variant).items() if k.endswith("Probe")}
    assert set(probes) == {"startupProbe", "readinessProbe", "livenessProbe"}
    for name, probe in probes.items():
        expected = "/health" if name == "livenessProbe" else "/ready"
        assert probe["httpGet"] == {"path": expected, "port": "http"}
        assert expected in paths
    annotations = of_kind(variant, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] in paths


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_runs_as_root_or_escalates(variant: str) -> None:
    pod = of_kind(variant, "Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    own = container(variant)["securityContext"]
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert f"USER {user}\n" in (DEPLOY / "docker" / "Dockerfile").read_text()


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_and_labels_match(variant: str) -> None:
    things = collected(FOLDER / variant)
    assert len({(one["kind"], one["metadata"]["name"]) for one in things}) == len(things)
    deployment = of_kind(variant, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert of_kind(variant, "Service")["spec"]["selector"] == labels
    policy = of_kind(variant, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    (secret,) = documents(FOLDER / "secret.example.yaml")
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    mounted = [v["secret"]["secretName"] for v in volumes if "secret" in v]
    assert mounted == [secret["metadata"]["name"]]


def test_only_the_stateless_setup_has_several_pods() -> None:
    search = of_kind("search", "Deployment")["spec"]
    assert (search["replicas"], search["strategy"]) == (1, {"type": "Recreate"})
    claim = of_kind("search", "PersistentVolumeClaim")["metadata"]["name"]
    volumes = search["template"]["spec"]["volumes"]
    assert {"claimName": claim} in [v.get("persistentVolumeClaim") for v in volumes]
    rerank = of_kind("rerank", "Deployment")
    assert "replicas" not in rerank["spec"], "the autoscaler says how many"
    for scaler in (
        of_kind("rerank", "HorizontalPodAutoscaler"),
        *documents(FOLDER / "hpa-waiting-tokens.yaml"),
    ):
        assert scaler["spec"]["scaleTargetRef"]["name"] == rerank["metadata"]["name"]
        assert scaler["spec"]["minReplicas"] >= 2
    budget = of_kind("rerank", "PodDisruptionBudget")["spec"]
    assert budget["selector"] == rerank["spec"]["selector"]


def test_readers_reach_the_cache_and_the_storage_that_they_are_given() -> None:
    args = container("readers")["args"]
    (index,) = [arg for arg in args if arg.startswith("--index=")]
    ((name, place),) = parse_index_options([index.removeprefix("--index=")]).items()
    assert (name, urlsplit(str(place)).scheme) == ("docs", "s3")
    (cache,) = [arg.removeprefix("--cache=") for arg in args if arg.startswith("--cache=")]
    redis = {one["kind"]: one for one in collected(FOLDER / "redis")}
    assert urlsplit(cache).hostname == redis["Service"]["metadata"]["name"]
    labels = redis["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert redis["Service"]["spec"]["selector"] == labels
    (secret,) = documents(FOLDER / "storage.example.yaml")
    (source,) = container("readers")["envFrom"]
    assert source["secretRef"]["name"] == secret["metadata"]["name"]
    assert not secret["stringData"]["AWS_SECRET_ACCESS_KEY"]
    (egress,) = documents(FOLDER / "readers" / "egress.yaml")
    reached = [rule.get("to") for rule in egress["spec"]["egress"]]
    assert [{"podSelector": {"matchLabels": labels}}] in reached


def test_example_secret_grants_no_access(tmp_path: Path) -> None:
    from secondpass.server.access.api_keys import KeyFile

    (secret,) = documents(FOLDER / "secret.example.yaml")
    (tmp_path / "keys.json").write_text(secret["stringData"]["keys.json"])
    assert KeyFile(tmp_path / "keys.json").entries() == []
