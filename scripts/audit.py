"""Look the locked versions up in the databases of known vulnerabilities.

    make audit

The versions of requirements/lock.txt are looked up by pip-audit in the database of PyPI, and
the clients for Node and the tools of clients/typescript, which only tests use, by `npm audit`
in that of npm. Exit code 0: both
were asked about everything and know of nothing. 1: there are known vulnerabilities. 2: a
database could not be asked, or not about everything, so nothing is known.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "lock.txt"
NODE = {
    "clients for Node": ROOT / "requirements" / "node",
    "tools of clients/typescript": ROOT / "clients" / "typescript",
}
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 2


def judge_pip(report: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Return the exit code for a report of pip-audit, and what to print.

    A package that was not found in the database is skipped by pip-audit, which calls that a
    success; here it is not.
    """
    packages = report["dependencies"]
    skipped = [row for row in packages if "skip_reason" in row]
    found = [row for row in packages if row.get("vulns")]
    lines = [
        f"{row['name']} {row['version']}: {vulnerability['id']},"
        f" fixed in {', '.join(vulnerability['fix_versions']) or 'no version'}"
        for row in found
        for vulnerability in row["vulns"]
    ]
    asked = len(packages) - len(skipped)
    lines.append(
        f"PyPI: {asked} of {len(packages)} packages looked up, {len(found)} vulnerable"
    )
    if skipped:
        lines.append(
            f"not looked up, such as {skipped[0]['name']}: {skipped[0]['skip_reason']}"
        )
    if found:
        return VULNERABLE, lines
    return (UNKNOWN if skipped or not packages else CLEAN), lines


def judge_npm(
    report: Mapping[str, Any], name: str = "clients for Node"
) -> tuple[int, list[str]]:
    """Return the exit code for a report of `npm audit --json`, and what to print."""
    if "metadata" not in report:
        said = report.get("message") or report.get("error") or "no report"
        return UNKNOWN, [f"npm: could not be asked: {said}"]
    counts = report["metadata"]["vulnerabilities"]
    lines = [
        f"{name}: {row['severity']}, in {row['range']}"
        for name, row in report.get("vulnerabilities", {}).items()
    ]
    lines.append(f"npm: {counts['total']} vulnerable packages among the {name}")
    return (VULNERABLE if counts["total"] else CLEAN), lines


def audit_pip() -> tuple[int, list[str]]:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps"]
    options = ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        return UNKNOWN, [f"PyPI: pip-audit failed: {said[-1]}"]
    return judge_pip(report)


def audit_npm(name: str) -> tuple[int, list[str]]:
    npm = shutil.which("npm")
    if npm is None:
        return UNKNOWN, ["npm: there is no npm on this machine"]
    with tempfile.TemporaryDirectory() as folder:
        for file in NODE[name].glob("package*.json"):
            shutil.copy(file, folder)
        lock = [npm, "install", "--package-lock-only", "--ignore-scripts", "--no-audit"]
        locked = subprocess.run(lock, cwd=folder, capture_output=True, text=True)
        if locked.returncode != 0:
            return UNKNOWN, [f"npm: the versions cannot be resolved: {locked.stderr.strip()}"]
        done = subprocess.run(
            [npm, "audit", "--json"], cwd=folder, capture_output=True, text=True
        )
    try:
        return judge_npm(json.loads(done.stdout), name)
    except ValueError:
        return UNKNOWN, [f"npm: could not be asked: {done.stderr.strip()[:500]}"]


def main() -> int:
    codes = []
    for audit in (audit_pip, *(partial(audit_npm, name) for name in NODE)):
        code, lines = audit()
        print("\n".join(lines))
        codes.append(code)
    if VULNERABLE in codes:
        return VULNERABLE
    if UNKNOWN in codes:
        print(
            "Not everything could be looked up, so nothing is known: run `make audit` where"
            " the databases of PyPI and npm can be reached: a mirror is not enough.",
            file=sys.stderr,
        )
        return UNKNOWN
    return CLEAN


if __name__ == "__main__":
    sys.exit(main())
