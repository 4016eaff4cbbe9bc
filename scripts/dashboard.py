"""Write deploy/grafana/secondpass.json, the dashboard of the server's metrics.

python scripts/dashboard.py            # write it
python scripts/dashboard.py --check    # fail if it is out of date
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "deploy" / "grafana" / "secondpass.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTOR = 'job=~"$job",instance=~"$instance"'
COLUMNS = 24
RATE = "$__rate_interval"


@dataclass(frozen=True)
class Panel:
    """A dashboard panel: its title, unit, and queries with their legends."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    description: str = ""
    panel_type: str = "timeseries"
    width: int = 8
    height: int = 8
    limit: float | None = None


def rate(name: str, by: str = "", filters: str = "") -> str:
    """Return the sum of a counter's rates."""
    labels = SELECTOR + (f",{filters}" if filters else "")
    return f"sum{f' by ({by})' if by else ''} (rate({name}{{{labels}}}[{RATE}]))"


def total(name: str, by: str = "") -> str:
    """Return the sum of a gauge."""
    return f"sum{f' by ({by})' if by else ''} ({name}{{{SELECTOR}}})"


def quantile(share: float, name: str, by: str = "") -> str:
    """Return a quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(name + '_bucket', f'{by}le')})"


def mean(name: str) -> str:
    """Return the mean of a histogram's observations."""
    return f"{rate(name + '_sum')} / {rate(name + '_count')}"


SECONDS, WAIT = "secondpass_request_duration_seconds", "secondpass_queue_wait_seconds"
STAGE, REQUESTS = "secondpass_stage_duration_seconds", "secondpass_requests_total"
BUSY = "secondpass_model_busy_seconds_total"
FAILED = f"""{rate(REQUESTS, filters='status=~"5.."')} / {rate(REQUESTS)}"""
QUANTILES = (("0.5", "50 %"), ("0.95", "95 %"), ("0.99", "99 %"))


def quantile_lines(name: str) -> tuple[tuple[str, str], ...]:
    """Return the lines of a distribution's quantiles."""
    return tuple((quantile(float(share), name), label) for share, label in QUANTILES)


ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel("Ready", "none", ((total("secondpass_ready"), ""),), "Servers that accept "
              "requests.", "stat", 4, 4),
        Panel("Requests", "reqps", ((rate(REQUESTS), ""),), "", "stat", 4, 4),
        Panel("Failed", "percentunit", ((FAILED, ""),), "Status 500 and above.", "stat", 4, 4,
              limit=0.02),
        Panel("Latency, 95 %", "s", ((quantile(0.95, SECONDS), ""),), "", "stat", 4, 4,
              limit=2),
        Panel("Tokens waiting", "short", ((total("secondpass_queue_waiting_tokens"), ""),), "",
              "stat", 4, 4),
        Panel("Model busy", "percentunit", ((f"avg (rate({BUSY}{{{SELECTOR}}}[{RATE}]))", ""),),
              "The share of time in which the model runs.", "stat", 4, 4, limit=0.85),
    ),
    "Requests": (
        Panel("Requests by dialect", "reqps", ((rate(REQUESTS, "dialect"), "{{dialect}}"),)),
        Panel("Requests by status", "reqps", ((rate(REQUESTS, "status"), "{{status}}"),)),
        Panel("Time to the first byte of the response", "s", quantile_lines(SECONDS)),
        Panel("Refused, by reason", "reqps",
              ((rate("secondpass_requests_refused_total", "reason"), "{{reason}}"),),
              "busy: the queue was full; late: the deadline passed; rate: over a key's limit."),
        Panel("Rate limited, by key", "reqps",
              ((rate("secondpass_rate_limited_total", "key"), "{{key}}"),),
              "The id of a key is that of secondpass keys list."),
        Panel("In progress", "short", ((total("secondpass_requests_in_progress", "instance"),
                                      "{{instance}}"),)),
    ),
    "Queue and model": (
        Panel("Queue wait", "s", quantile_lines(WAIT)),
        Panel("Tokens waiting", "short",
              ((total("secondpass_queue_waiting_tokens", "instance"), "{{instance}}"),
               (f"max (secondpass_queue_waiting_tokens_limit{{{SELECTOR}}})", "limit")),
              "Above the limit the response is 429."),
        Panel("Model busy", "percentunit",
              ((rate(BUSY, "instance"), "{{instance}}"),),
              "Waits grow steeply above 0.85.", limit=0.85),
        Panel("Latency of stages, 95 %", "s",
              ((quantile(0.95, STAGE, "stage, "), "{{stage}}"),),
              "Queue wait included."),
        Panel("Tokens per batch", "short", ((mean("secondpass_batch_tokens"), "mean"),)),
        Panel("Requests per batch", "short",
              ((mean("secondpass_batch_requests"), "mean"),),
              "Above 1, concurrent requests share batches."),
    ),
    "Documents and disk": (
        Panel("Documents reranked", "ops", ((rate("secondpass_documents_total"), ""),)),
        Panel("Documents by index", "short",
              ((f"max by (index) (secondpass_index_documents{{{SELECTOR}}})", "{{index}}"),)),
        Panel("Disk", "bytes",
              (("max by (index) (secondpass_index_bytes{" + SELECTOR + "})", "{{index}}"),
               (total("secondpass_data_bytes", "instance"), "created by clients, {{instance}}"),
               (total("secondpass_data_free_bytes", "instance"), "free, {{instance}}"))),
        Panel("Indexes created by clients", "short",
              ((total("secondpass_data_indexes", "instance"), "{{instance}}"),)),
        Panel("Score cache: where pairs were found", "ops",
              ((rate("secondpass_score_cache_pairs_total", "found"), "{{found}}"),),
              "With --cache: in memory, in the shared file or Redis, or nowhere."),
        Panel("Score cache: failures", "ops",
              ((rate("secondpass_score_cache_failures_total", "instance"), "{{instance}}"),),
              "Scores are then computed again."),
    ),
    "Indexes in object storage": (
        Panel("Behind the newest version", "s",
              ((f"max by (index, instance) (secondpass_index_lag_seconds{{{SELECTOR}}})",
                "{{index}}, {{instance}}"),),
              "How long a newer version than the one that is searched is known."),
        Panel("Versions", "short",
              ((f"max by (index) (secondpass_index_current_version{{{SELECTOR}}})",
                "newest, {{index}}"),
               (f"min by (index) (secondpass_index_version{{{SELECTOR}}})",
                "oldest that is searched, {{index}}"))),
        Panel("Servers that may write", "short",
              ((total("secondpass_index_lease_held", "index"), "{{index}}"),),
              "At most one process has the lease of an index."),
        Panel("Looks for a version that failed", "ops",
              ((rate("secondpass_index_follow_failures_total", "index"), "{{index}}"),)),
        Panel("Leases lost", "ops",
              ((rate("secondpass_index_leases_lost_total", "index"), "{{index}}"),),
              "A writer was frozen or cut off: its write failed."),
        Panel("Rows outside the text index", "short",
              ((f"max by (index) (secondpass_index_unindexed_rows{{{SELECTOR}}})",
                "{{index}}"),),
              "Searches scan them; optimize takes them in."),
    ),
    "Process": (
        Panel("Memory", "bytes",
              ((total("process_resident_memory_bytes", "instance"), "{{instance}}"),)),
        Panel("Processors", "short",
              ((rate("process_cpu_seconds_total", "instance"), "{{instance}}"),)),
        Panel("Open files and connections", "short",
              ((total("process_open_fds", "instance"), "{{instance}}"),
               (f"max (process_max_fds{{{SELECTOR}}})", "limit"))),
        Panel("Version", "none",
              (("count by (version) (secondpass_build_info{" + SELECTOR + "})", "{{version}}"),
               ("sum by (model) (secondpass_model_ready{" + SELECTOR + "})", "{{model}}")),
              "The number of servers by version, and by model that is ready.", "stat"),
    ),
}  # fmt: skip


def render_panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Return a panel in Grafana's format."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    thresholds = {"mode": "absolute", "steps": steps}
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": thresholds}
    if panel.panel_type == "timeseries":
        defaults |= {"min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}
        options: dict[str, Any] = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    else:
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
    return {
        "id": number,
        "type": panel.panel_type,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(65 + i), "datasource": SOURCE, "expr": e, "legendFormat": label}
            for i, (e, label) in enumerate(panel.lines)
        ],
    }


def panels() -> list[dict[str, Any]]:
    """Return all panels, row by row."""
    rendered: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        position = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        header = {"type": "row", "title": title, "collapsed": False, "gridPos": position}
        rendered.append({"id": len(rendered) + 1, **header, "panels": []})
        y, x = y + 1, 0
        for panel in row:
            if x + panel.width > COLUMNS:
                x, y = 0, y + row[0].height
            rendered.append(render_panel(panel, len(rendered) + 1, x, y))
            x += panel.width
        y += row[0].height
    return rendered


def variable(name: str, query: str) -> dict[str, Any]:
    """Return a dashboard variable that selects values of a label."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def dashboard() -> dict[str, Any]:
    """Return the dashboard in Grafana's format."""
    build = "secondpass_build_info"
    return {
        "uid": "secondpass",
        "title": "secondpass",
        "tags": ["secondpass"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                variable("job", f"label_values({build}, job)"),
                variable("instance", f'label_values({build}{{job=~"$job"}}, instance)'),
            ]
        },
        "annotations": {"list": []},
        "panels": panels(),
    }


def main() -> None:
    text = json.dumps(dashboard(), indent=1) + "\n"
    if "--check" not in sys.argv:
        FILE.write_text(text, "utf-8")
    elif FILE.read_text("utf-8") != text:
        sys.exit(f"{FILE.name} is out of date; run: python scripts/dashboard.py")


if __name__ == "__main__":
    main()
