"""Lock what pyproject.toml declares: `make lock`. With `--check`, only say whether the locks are in step (offline).

Existing pins are kept unless a declaration rules them out; `make lock UPGRADE=1` moves them all.
"""

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def inputs() -> dict[str, list[str]]:
    """The declared requirements of each lock file."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # The build tools are locked with the runtime, so that installing the project itself resolves nothing.
    project = declared["project"]
    runtime = (
        project["dependencies"] + project["optional-dependencies"]["server"] + declared["build-system"]["requires"]
    )
    groups = declared["dependency-groups"]
    return {
        "requirements.lock": runtime,
        "requirements-dev.lock": runtime + groups["dev"],
        "requirements-assets.lock": groups["assets"],
    }


def command(requirements: list[str]) -> str:
    """The header of a lock: how to make it, and a fingerprint of what it was made from."""
    fingerprint = hashlib.sha256("\n".join(sorted(requirements)).encode()).hexdigest()[:16]
    return f"make lock  # inputs {fingerprint}"


def in_step(name: str, requirements: list[str]) -> bool:
    lock = ROOT / name
    return lock.exists() and f"#    {command(requirements)}\n" in lock.read_text(encoding="utf-8")


def compile_lock(name: str, requirements: list[str]) -> None:
    options = ["--upgrade"] if "--upgrade" in sys.argv else []
    if name == "requirements-assets.lock":
        options.append("--no-deps")
    if name == "requirements-dev.lock":
        options += ["--constraints", "requirements.lock"]
    subprocess.run(
        [
            *("uv", "pip", "compile", "-", "--output-file", name, "--quiet"),
            *("--universal", "--python-version", "3.11", "--generate-hashes"),
            # A lock says nothing of this machine; uv writes no registry address unless it is asked to.
            *("--no-config", "--no-annotate"),
            *("--custom-compile-command", command(requirements)),
            *options,
        ],
        cwd=ROOT,
        input="\n".join(requirements),
        text=True,
        check=True,
    )


def main() -> None:
    if "--check" not in sys.argv:
        for name, requirements in inputs().items():
            compile_lock(name, requirements)
        return
    stale = [name for name, requirements in inputs().items() if not in_step(name, requirements)]
    if stale:
        raise SystemExit(f"{', '.join(stale)}: not in step with pyproject.toml; run `make lock`")


if __name__ == "__main__":
    main()
