from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from secondpass.inference.native import build, library
from secondpass.inference.native.build import LIBRARY, BuildError, compile_library
from secondpass.inference.native.library import (
    Library,
    LibraryUnusable,
    load_library,
    open_library,
)

# Of the C code that `NUMERICS` is the number of.
DIGEST = "f30b576f27536fe5a34b1250b58ce649bda34a8e0a3857a3749af244585749a5"


def test_scores_cached_by_other_c_code_are_not_used() -> None:
    assert build.digest() == DIGEST, (
        "The C code of the native engine has changed. If a score can change by a bit, raise "
        "NUMERICS in native/build.py; in any case write the new digest here."
    )
    assert build.numerics("native") == f"native {build.NUMERICS}"
    assert build.numerics("onnxruntime") == "onnxruntime"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where `load_library` looks instead, without what it remembers."""
    file = tmp_path / "kernels.so"
    monkeypatch.setattr(library, "LIBRARY", file)
    monkeypatch.setattr(library, "load_library", load_library.__wrapped__)
    return file


def test_without_a_library_there_is_none(elsewhere: Path) -> None:
    assert library.load_library() is None


def test_a_damaged_library_is_not_used_and_said(elsewhere: Path) -> None:
    elsewhere.write_bytes(b"no machine code")
    with pytest.warns(RuntimeWarning, match=r"kernels.so cannot be opened.*native/build\.py"):
        assert library.load_library() is None


def test_kernels_that_are_not_there_are_said(
    elsewhere: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(LIBRARY, elsewhere)
    monkeypatch.setenv("SECONDPASS_KERNELS", "mmx")
    with pytest.warns(RuntimeWarning, match="SECONDPASS_KERNELS is 'mmx'"):
        assert load_library.__wrapped__() is None


def test_a_library_of_other_sources_is_not_used_and_said(
    elsewhere: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(LIBRARY, elsewhere)
    monkeypatch.setattr("secondpass.inference.native.library.digest", lambda: "0" * 64)
    with pytest.raises(LibraryUnusable, match="other sources"):
        open_library(elsewhere)


def test_kernels_are_chosen_by_name(library: Library) -> None:
    plain = open_library(LIBRARY, "avx2")
    assert plain is not None
    assert (plain.name, plain.panel) == ("avx2", 16)
    assert open_library(LIBRARY, "mmx") is None
    assert library.name in ("avx2", "avxvnni", "avx512vnni")


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="there is no /proc/cpuinfo")
def test_the_best_kernels_of_the_processor_are_chosen(library: Library) -> None:
    flags = set(
        re.findall(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)[0].split()
    )
    wide = {f"avx512{part}" for part in ("f", "bw", "dq", "vl", "_vnni")}
    best = "avx512vnni" if wide <= flags else "avxvnni" if "avx_vnni" in flags else "avx2"
    assert library.name == best


def test_it_is_compiled_where_there_is_a_compiler(tmp_path: Path, library: Library) -> None:
    found = open_library(compile_library(tmp_path / "kernels.so"))
    assert found is not None
    assert found.name == library.name
    assert list(tmp_path.iterdir()) == [tmp_path / "kernels.so"]


def test_without_a_compiler_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "kernels.so"
    old.write_bytes(b"of other sources")
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("CC", "/usr/bin/false")
    with pytest.raises(BuildError, match="/usr/bin/false failed"):
        compile_library(old)
    assert not old.exists()
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="no C compiler was found; set CC"):
        compile_library(old)
    monkeypatch.setattr(build.platform, "machine", lambda: "riscv64")
    with pytest.raises(BuildError, match="riscv64"):
        compile_library(old)
