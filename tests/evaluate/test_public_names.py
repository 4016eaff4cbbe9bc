from __future__ import annotations

import subprocess
import sys

import secondpass.evaluate as evaluate


def test_every_name_can_be_imported() -> None:
    for name in evaluate.__all__:
        value = getattr(evaluate, name)
        assert value.__name__ == name
        assert value.__doc__


def test_the_package_is_imported_without_anything_heavy() -> None:
    code = (
        "import sys, secondpass.evaluate;"
        "assert not {'numpy', 'scipy', 'ir_measures'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
