"""A store whose package is not installed says how to install it; the others do not need it."""

from __future__ import annotations

import subprocess
import sys

import pytest

OPENING = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from tidemark.errors import StoreError
from tidemark.results.store import open_store
try:
    open_store({uri!r})
except StoreError as error:
    print(error)
"""
CLOUDS = {"adlfs", "azure", "gcsfs", "google", "oci", "ocifs"}


def opened_without(missing: set[str], uri: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OPENING.format(missing=sorted(missing), uri=uri)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("missing", "uri", "extra"),
    [
        ("adlfs", "az://harbour/results/p", "azure"),
        ("azure", "az://harbour/results/p", "azure"),
        ("gcsfs", "gs://results/p", "gcs"),
        ("google", "gs://results/p", "gcs"),
        ("oci", "oci://n/harbour/b/results/o/p", "oci"),
        ("ocifs", "oci://n/harbour/b/results/o/p", "oci"),
    ],
)
def test_the_extra_that_brings_a_package_is_named(missing: str, uri: str, extra: str) -> None:
    said = opened_without({missing}, uri)
    assert f"needs the package {missing}, which is not installed" in said
    assert f"pip install 'tidemark[{extra}]'" in said


def test_a_folder_needs_none_of_them() -> None:
    assert opened_without(CLOUDS, "/tmp/results") == ""
