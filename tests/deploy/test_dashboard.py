"""The Grafana dashboard: valid, and all of its metrics exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from typing import Any

import pytest

from tests.deploy.conftest import DEPLOY, ROOT, names_in

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "secondpass.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
UNITS = {"none", "short", "s", "bytes", "reqps", "ops", "percentunit"}


def test_dashboard_is_generated_by_the_script() -> None:
    command = [sys.executable, "scripts/dashboard.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_dashboard_has_what_grafana_needs() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["title"]
    assert "id" not in DASHBOARD, "an id is of one installation"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
        for source in (panel, *panel["targets"]):
            assert source["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(p["x"] >= 0 and p["w"] > 0 and p["x"] + p["w"] <= 24 for p in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below


def test_every_variable_is_known() -> None:
    known = {one["name"] for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(DASHBOARD)))
    assert used == known


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_exists(expression: str, metrics: set[str]) -> None:
    assert names_in(expression) <= metrics


def test_every_metric_is_on_the_dashboard(metrics: set[str]) -> None:
    shown = {re.sub(r"_(bucket|sum|count)$", "", n) for e in EXPRESSIONS for n in names_in(e)}
    ours = {n for n in metrics if n.startswith("secondpass_")}
    assert {re.sub(r"_(bucket|sum|count)$", "", n) for n in ours} <= shown
