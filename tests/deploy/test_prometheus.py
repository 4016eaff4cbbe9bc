"""Alert rules: valid, about existing metrics, with a summary and a next step."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deploy.conftest import DEPLOY, OF_PROMETHEUS, documents, names_in

(ALERTS,) = documents(DEPLOY / "prometheus" / "alerts.yaml")
# Only a server that searches shards on several machines tells it.
OF_SHARDS = {"secondpass_shard_unanswered_total", "secondpass_shard_overloaded_total"}
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rule_is_valid(rule: dict[str, Any], metrics: set[str]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Secondpass[A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert names_in(rule["expr"]) <= metrics | OF_PROMETHEUS | OF_SHARDS


def test_templates_use_labels_of_the_expression() -> None:
    for rule in RULES:
        used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        kept = re.search(r"\bby \(([\w, ]+)\)", rule["expr"])
        if kept is not None:
            assert used <= set(kept.group(1).split(", "))
        else:
            assert used <= {"index", "instance", "job"}


def test_prometheus_reads_the_mounted_rules() -> None:
    (settings,) = documents(DEPLOY / "prometheus" / "prometheus.yaml")
    assert settings["rule_files"] == ["alerts.yaml"]
    (job,) = settings["scrape_configs"]
    assert job["job_name"] == "secondpass"
    assert job["static_configs"] == [{"targets": ["secondpass:8080"]}]


def test_adapter_provides_the_metric_of_the_autoscaler(metrics: set[str]) -> None:
    (adapter,) = documents(DEPLOY / "prometheus" / "adapter.yaml")
    (rule,) = adapter["rules"]["custom"]
    (scaler,) = documents(DEPLOY / "kubernetes" / "hpa-waiting-tokens.yaml")
    (asked,) = [m["pods"]["metric"]["name"] for m in scaler["spec"]["metrics"] if "pods" in m]
    assert rule["name"]["as"] == asked
    assert names_in(rule["seriesQuery"]) == {asked} <= metrics
