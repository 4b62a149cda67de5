"""What users install: the wheel and the sdist, as they are built and not as they lie in the checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from configparser import ConfigParser
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import pytest

from airflow_provider_kaleyra import __version__

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_kaleyra"
INFO = f"{PACKAGE}-{__version__}.dist-info"


@dataclass
class Wheel:
    """A built wheel, read."""

    files: set[str]
    metadata: Message
    entry_points: ConfigParser

    @classmethod
    def read(cls, folder: Path) -> Wheel:
        (path,) = folder.glob("*.whl")
        with ZipFile(path) as archive:
            entry_points = ConfigParser(delimiters="=")
            entry_points.read_string(archive.read(f"{INFO}/entry_points.txt").decode())
            metadata = Parser().parsestr(archive.read(f"{INFO}/METADATA").decode())
            return cls(set(archive.namelist()), metadata, entry_points)


def _build(folder: Path, *options: str) -> Path:
    # Without isolation nothing is downloaded: the extra `dev` has what builds it.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), *options, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """Built from the checkout."""
    return Wheel.read(_build(tmp_path_factory.mktemp("wheel"), "--wheel"))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from it."""
    return _build(tmp_path_factory.mktemp("release"))


@pytest.mark.parametrize(
    "name",
    [
        f"{PACKAGE}/py.typed",
        f"{PACKAGE}/demo/contacts.csv",
        f"{PACKAGE}/get_provider_info.py",
        f"{INFO}/licenses/LICENSE",
    ],
)
def test_wheel_has(name: str, wheel: Wheel) -> None:
    assert name in wheel.files


def test_wheel_has_every_example_dag(wheel: Wheel) -> None:
    examples = {f"{PACKAGE}/example_dags/{path.name}" for path in (ROOT / "example_dags").glob("*.py")}
    assert examples
    assert examples <= wheel.files


def test_wheel_has_every_module(wheel: Wheel) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*.py")}
    assert modules <= wheel.files


def test_wheel_has_nothing_but_the_package(wheel: Wheel) -> None:
    assert {Path(name).parts[0] for name in wheel.files} == {PACKAGE, INFO}


def test_wheel_has_no_tests_and_nothing_hidden_or_compiled(wheel: Wheel) -> None:
    unwanted = {"tests", "__pycache__", "conftest.py"}
    assert not [
        name
        for name in wheel.files
        if any(part in unwanted or part.startswith(".") for part in Path(name).parts)
    ]


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("apache_airflow_provider", {"provider_info"}),
        ("console_scripts", {"kaleyra-sandbox", "kaleyra-demo"}),
    ],
)
def test_wheels_entry_points_lead_to_functions(group: str, names: set[str], wheel: Wheel) -> None:
    found = dict(wheel.entry_points[group])
    assert names <= set(found)
    for target in found.values():
        module, _, function = target.partition(":")
        assert callable(getattr(import_module(module), function))


def test_metadata_names_version_python_and_license(wheel: Wheel) -> None:
    fields = ("Name", "Version", "Requires-Python", "License-Expression")
    described = [wheel.metadata[name] for name in fields]
    assert described == ["airflow-provider-kaleyra", __version__, ">=3.11", "Apache-2.0"]


def test_metadata_shows_the_readme(wheel: Wheel) -> None:
    assert wheel.metadata.get_payload().strip() == (ROOT / "README.md").read_text().strip()


def test_metadata_names_the_extras(wheel: Wheel) -> None:
    extras = wheel.metadata.get_all("Provides-Extra", [])
    assert set(extras) == {"postgres", "mysql", "shared-limit", "sandbox", "demo", "dev"}


def test_metadata_sets_no_upper_bound(wheel: Wheel) -> None:
    """A provider with a ceiling holds back the Airflow that it is installed beside."""
    needed = wheel.metadata.get_all("Requires-Dist", [])
    assert any(line.startswith("apache-airflow>=") for line in needed)
    assert not [line for line in needed if "<" in line.partition(";")[0] or "==" in line.partition(";")[0]]


def test_sdist_has_what_the_tests_need(release: Path) -> None:
    (path,) = release.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "tests/conftest.py"} <= names


def test_wheel_from_the_sdist_has_the_same_files(release: Path, wheel: Wheel) -> None:
    assert Wheel.read(release).files == wheel.files
