"""The manifests for KubeRay: valid pods, arguments that the commands take, names that match.

KubeRay's own schemas are a megabyte each and not in this repository. With KUBERAY_CRDS, the
folder `ray-operator/config/crd/bases` of a checkout of KubeRay, the manifests are validated
against them too.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from secondpass.cli.app import app
from tests.deploy.conftest import DEPLOY, documents

FOLDER = DEPLOY / "ray"
FILES = sorted(FOLDER.glob("ray*.yaml"))
CRDS = os.environ.get("KUBERAY_CRDS")
KUBERNETES = "1.34"


def manifest(name: str) -> dict[str, Any]:
    (found,) = documents(FOLDER / name)
    return dict(found)


def clusters() -> dict[str, dict[str, Any]]:
    return {
        "raycluster.yaml": manifest("raycluster.yaml")["spec"],
        "rayservice.yaml": manifest("rayservice.yaml")["spec"]["rayClusterConfig"],
    }


def templates(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"] for group in groups]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifest_is_valid_by_the_schema_of_kuberay(path: Path) -> None:
    if not CRDS:
        pytest.skip("KUBERAY_CRDS is not set")
    jsonschema = pytest.importorskip("jsonschema", reason="the group dev is not installed")
    (one,) = documents(path)
    name = f"ray.io_{one['kind'].lower()}s.yaml"
    definition = yaml.safe_load((Path(CRDS) / name).read_text("utf-8"))
    (version,) = [v for v in definition["spec"]["versions"] if v["name"] == "v1"]
    schema = version["schema"]["openAPIV3Schema"]
    _refuse_unknown(schema["properties"]["spec"])
    jsonschema.Draft7Validator(schema).validate(one)
    wrong = copy.deepcopy(one)
    wrong["spec"]["headGroupSpecs"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(wrong)


def _refuse_unknown(schema: Any) -> None:
    """Make fields that are not in the schema an error, as the API server does with --strict."""
    if isinstance(schema, list):
        for part in schema:
            _refuse_unknown(part)
    if not isinstance(schema, dict):
        return
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    for part in schema.values():
        _refuse_unknown(part)


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayservice.yaml"])
def test_pods_are_valid_and_run_without_privileges(name: str) -> None:
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="the group dev is not installed"
    )
    for template in templates(clusters()[name]):
        pod = {"apiVersion": "v1", "kind": "Pod", **template}
        kubernetes.validate(pod, KUBERNETES, strict=True)
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        (container,) = spec["containers"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
        (secret,) = documents(DEPLOY / "kubernetes" / "storage.example.yaml")
        (source,) = container["envFrom"]
        assert source["secretRef"]["name"] == secret["metadata"]["name"]


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayservice.yaml"])
def test_clusters_need_a_token_and_keep_actors_off_the_head(name: str) -> None:
    cluster = clusters()[name]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    images = {t["spec"]["containers"][0]["image"] for t in templates(cluster)}
    assert len(images) == 1


def test_the_job_runs_a_command_that_exists_on_the_cluster_that_exists() -> None:
    job = manifest("rayjob-index.yaml")["spec"]
    cluster = manifest("raycluster.yaml")
    assert job["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    # KubeRay refuses the two together.
    assert "backoffLimit" not in job
    program, name, *rest = shlex.split(job["entrypoint"])
    assert program == "secondpass"
    command: Any = typer.main.get_command(app)
    given = command.commands[name].make_context(name, rest).params
    assert (given["on"], given["address"]) == ("ray", "auto")
    (corpus,) = given["paths"]
    for template in templates(cluster["spec"]):
        mounts = template["spec"]["containers"][0]["volumeMounts"]
        assert str(corpus) in {mount["mountPath"] for mount in mounts}


def test_the_service_names_an_application_and_the_cache_that_exist() -> None:
    settings = yaml.safe_load(manifest("rayservice.yaml")["spec"]["serveConfigV2"])
    (application,) = settings["applications"]
    (redis,) = [
        one
        for one in documents(DEPLOY / "kubernetes" / "redis" / "redis.yaml")
        if one["kind"] == "Service"
    ]
    assert application["args"]["cache"].startswith(f"redis://{redis['metadata']['name']}:")
    module, _, name = application["import_path"].partition(":")
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra ray is not installed")
    assert hasattr(importlib.import_module(module), name)
    for template in templates(clusters()["rayservice.yaml"]):
        mounts = template["spec"]["containers"][0]["volumeMounts"]
        folder = str(Path(application["args"]["keys"]).parent)
        assert folder in {mount["mountPath"] for mount in mounts}


def test_kustomization_names_what_is_there() -> None:
    (settings,) = documents(FOLDER / "kustomization.yaml")
    assert settings["resources"] == ["raycluster.yaml"]
