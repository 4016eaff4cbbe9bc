"""The audit of dependencies, the bills of materials, and the Worker for Cloudflare."""

from __future__ import annotations

import json
import runpy
from typing import Any

import pytest

from tests.deploy.conftest import ROOT

AUDIT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "audit.py"))
WHEELS: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "wheels.py"))
LOOKED_UP = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found on PyPI"}
BAD = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
LOCK = "# tested together\nnumpy==2.4.6\nhuggingface-hub==1.2.0\n"


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([LOOKED_UP], 0, "1 of 1 packages looked up, 0 vulnerable"),
        ([LOOKED_UP, SKIPPED], 2, "not looked up, such as b"),
        ([SKIPPED], 2, "0 of 1 packages"),
        ([], 2, "0 of 0"),
        ([BAD, SKIPPED], 1, "c 2: PYSEC-1, fixed in 3"),
    ],
)
def test_a_package_that_was_not_looked_up_is_not_clean(
    packages: list[dict[str, Any]], code: int, said: str
) -> None:
    found, lines = AUDIT["judge_pip"]({"dependencies": packages, "fixes": []})
    assert found == code
    assert said in "\n".join(lines)


def test_npm_without_its_database_is_not_clean() -> None:
    judge = AUDIT["judge_npm"]
    assert judge({"message": "405 Method Not Allowed"}) == (
        2,
        ["npm: could not be asked: 405 Method Not Allowed"],
    )
    assert judge({"metadata": {"vulnerabilities": {"total": 0}}})[0] == 0
    row = {"severity": "high", "range": "<2"}
    bad = {"metadata": {"vulnerabilities": {"total": 1}}, "vulnerabilities": {"x": row}}
    assert judge(bad)[0] == 1


def bill(*parts: tuple[str, str], own: str = "secondpass") -> dict[str, Any]:
    components = [{"name": name, "version": version} for name, version in parts]
    return {"metadata": {"component": {"name": own}}, "components": components}


def test_a_bill_has_the_versions_of_the_lock() -> None:
    check = WHEELS["check_bill"]
    check(bill(("numpy", "2.4.6"), ("huggingface_hub", "1.2.0")), LOCK, whole=True)
    check(bill(("numpy", "2.4.6"), ("secondpass", "0.1.0")), LOCK, whole=False)
    for wrong, whole in (
        (bill(("numpy", "2.4.5")), False),
        (bill(("numpy", "2.4.6"), ("left-pad", "1")), False),
        (bill(("numpy", "2.4.6")), True),
        (bill(), False),
        (bill(("numpy", "2.4.6"), own="other"), False),
    ):
        with pytest.raises(SystemExit, match="is not that of the lock"):
            check(wrong, LOCK, whole=whole)


def test_the_worker_is_what_its_configuration_names() -> None:
    folder = ROOT / "deploy" / "cloudflare"
    lines = (folder / "wrangler.jsonc").read_text("utf-8").splitlines()
    plain = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
    worker = (folder / json.loads(plain)["main"]).read_text("utf-8")
    page = (ROOT / "docs" / "how-to" / "serve-cloudflare.md").read_text("utf-8")
    for name in ("AiSearchNamespace", "AiSearchInstance"):
        assert f"export class {name} extends WorkerEntrypoint" in worker
        assert name in page
    for variable in ("SECONDPASS_URL", "SECONDPASS_KEY", "SECONDPASS_NAMESPACE"):
        assert f"env.{variable}" in worker
        assert variable in page
