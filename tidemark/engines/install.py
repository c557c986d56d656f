"""Installing load engines, each in an environment of its own, pinned and checked.

genai-bench patches the interpreter when it is imported and weighs a gigabyte: it never shares an
environment with us. What is installed is what `locks/` names, with hashes, and the check compares
the installed engine's own help with the options we pass.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidemark.engines import genai_bench
from tidemark.engines.genai_bench import GenaiBench
from tidemark.errors import EngineError

__all__ = ["Installed", "check", "find", "install", "missing_options"]

LOCK = Path(__file__).with_name("locks") / f"genai-bench-{genai_bench.VERSION}.txt"
MARKER = "installed.json"


@dataclass(frozen=True, slots=True)
class Installed:
    """An engine's environment: where it is, its version, and the lock it was made from."""

    name: str
    version: str
    directory: Path
    lock_sha256: str

    @property
    def python(self) -> str:
        """The engine's own interpreter."""
        return str(self.directory / "bin" / "python")


def find(name: str, root: Path) -> GenaiBench:
    """The installed engine of that name. Raises EngineError where it is missing or outdated."""
    _known(name)
    installed = _installed(root, name)
    if installed is None:
        raise EngineError(
            f"the engine {name} {genai_bench.VERSION} is not installed",
            str(root),
            f"Run `tidemark engines install {name}`",
        )
    return GenaiBench(installed.python)


def install(name: str, root: Path, *, say: Callable[[str], None], force: bool = False) -> Installed:
    """Install the engine as pinned, unless it is there; then check it. Two at once take turns.

    Uses uv where it is at hand and pip otherwise, with hashes either way. Raises EngineError with
    the installer's last words.
    """
    _known(name)
    root.mkdir(parents=True, exist_ok=True)
    with _turn(root / f"{name}.lock"):
        installed = _installed(root, name)
        if installed is not None and not force:
            say(f"{name} {installed.version} is installed in {installed.directory}")
            return installed
        target = _directory(root, name)
        shutil.rmtree(target, ignore_errors=True)
        say(f"installing {name} {genai_bench.VERSION} into {target} (about 1 GB)")
        _make_environment(target)
        found = Installed(name, genai_bench.VERSION, target, _lock_sha256())
        drift = missing_options(_help_text(found))
        if drift:
            raise EngineError(
                f"the installed {name} does not know {', '.join(drift)}",
                str(target),
                "The pinned version differs from what this release was made for; report it",
            )
        marker = {"name": name, "version": found.version, "lock_sha256": found.lock_sha256}
        (target / MARKER).write_text(json.dumps(marker), encoding="utf-8")
        say(f"installed {name} {found.version}; its help knows every option that is passed")
        return found


def check(name: str, root: Path) -> list[str]:
    """What is wrong with the installed engine, each as a sentence; empty when nothing is."""
    _known(name)
    installed = _installed(root, name)
    if installed is None:
        return [
            f"{name} {genai_bench.VERSION} is not installed: run `tidemark engines install {name}`"
        ]
    problems = []
    version = _run([installed.python, "-I", "-c", _VERSION_PROGRAM]).strip().splitlines()[-1]
    if version != installed.version:
        problems.append(f"{name} reports version {version}, pinned is {installed.version}")
    problems += [
        f"{name} does not know the option {option}"
        for option in missing_options(_help_text(installed))
    ]
    return problems


_VERSION_PROGRAM = "import importlib.metadata as m; print(m.version('genai-bench'))"


def missing_options(help_text: str) -> list[str]:
    """The options we pass that an engine's help does not name."""
    words = set(help_text.replace(",", " ").replace("[", " ").split())
    return [option for option in genai_bench.OPTIONS if option not in words]


def _known(name: str) -> None:
    if name != GenaiBench.name:
        raise EngineError(
            f"no engine is called {name!r}", "engine.name", f"There is: {GenaiBench.name}"
        )


def _directory(root: Path, name: str) -> Path:
    return root / f"{name}-{genai_bench.VERSION}"


def _installed(root: Path, name: str) -> Installed | None:
    target = _directory(root, name)
    try:
        marker = json.loads((target / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if marker.get("lock_sha256") != _lock_sha256():
        return None
    return Installed(marker["name"], marker["version"], target, marker["lock_sha256"])


def _lock_sha256() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _make_environment(target: Path) -> None:
    python = _python()
    beside = str(Path(sys.executable).parent)
    uv = shutil.which("uv", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    wanted = ["--require-hashes", "-r", str(LOCK)]
    if uv:
        _run([uv, "venv", "--quiet", "--python", python, str(target)])
        _run(
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--compile-bytecode",
                "--python",
                str(target / "bin" / "python"),
                *wanted,
            ]
        )
    else:
        _run([python, "-m", "venv", str(target)])
        _run([str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted])


def _python() -> str:
    if sys.version_info[:2] < (3, 13):
        return sys.executable
    raise EngineError(
        "genai-bench runs on Python 3.10 to 3.12",
        f"Python {sys.version.split()[0]}",
        "Install tidemark with Python 3.11 or 3.12",
    )


def _help_text(installed: Installed) -> str:
    program = (
        "import sys; sys.argv = ['genai-bench', 'benchmark', '--help']; "
        "from genai_bench.cli.cli import cli; cli()"
    )
    return _run([installed.python, "-I", "-c", program], {"COLUMNS": "400"})


def _run(argv: list[str], extra: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(extra or {})},
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise EngineError(
            f"{Path(argv[0]).name} failed with status {done.returncode}: "
            + " / ".join(words[-3:])[-600:],
            " ".join(argv[:3]),
            "Check that the package registry can be reached, then run it again",
        )
    return done.stdout
