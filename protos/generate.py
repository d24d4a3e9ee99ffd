"""Compile every .proto under protos/codelab in place: `python protos/generate.py`.

Writes, next to each .proto, its `_pb2.py`, `_pb2.pyi`, `_pb2_grpc.py` and `_pb2_grpc.pyi`, and beside them all
`codelab/descriptors.binpb`: the whole contract as a FileDescriptorSet with imports and comments.
"""

import importlib.resources
import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "codelab"
DESCRIPTORS = PACKAGE / "descriptors.binpb"


def generate() -> None:
    sources = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.proto"))
    includes = [ROOT, importlib.resources.files("grpc_tools") / "_proto", _googleapis()]
    # Whoever sees the descriptor set sees a complete generation: it is removed first and written last.
    DESCRIPTORS.unlink(missing_ok=True)
    _remove_orphans(sources)
    _protoc(
        *(f"-I{path}" for path in includes),
        f"--python_out={ROOT}",
        f"--pyi_out={ROOT}",
        f"--grpc_python_out={ROOT}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={DESCRIPTORS}.new",
        *sources,
    )
    unfinished = DESCRIPTORS.with_name(f"{DESCRIPTORS.name}.new")
    _write_grpc_stubs(sources, descriptor_pb2.FileDescriptorSet.FromString(unfinished.read_bytes()))
    unfinished.replace(DESCRIPTORS)


def _protoc(*arguments: str) -> None:
    if protoc.main(["protoc", *arguments]) != 0:
        raise SystemExit("protoc failed")


def _write_grpc_stubs(sources: list[str], descriptors: descriptor_pb2.FileDescriptorSet) -> None:
    """Type the services for grpc.aio, which protoc itself cannot."""
    request = plugin_pb2.CodeGeneratorRequest(
        file_to_generate=sources, proto_file=descriptors.file, parameter="only_async"
    )
    # By module, not by command name: a virtual environment need not be on PATH.
    plugin = subprocess.run(
        [sys.executable, "-c", "from mypy_protobuf.main import grpc; grpc()"],
        input=request.SerializeToString(),
        capture_output=True,
        check=False,
    )
    response = plugin_pb2.CodeGeneratorResponse.FromString(plugin.stdout)
    if plugin.returncode != 0 or response.error:
        raise SystemExit(f"mypy-protobuf failed: {response.error or plugin.stderr.decode()}")
    for file in response.file:
        (ROOT / file.name).write_text(file.content, encoding="utf-8")


def _remove_orphans(sources: list[str]) -> None:
    """Drop what was generated from a .proto that is gone, else it could still be imported."""
    stems = {source.removesuffix(".proto") for source in sources}
    for path in [*PACKAGE.rglob("*_pb2*.py"), *PACKAGE.rglob("*_pb2*.pyi")]:
        if path.relative_to(ROOT).as_posix().partition("_pb2")[0] not in stems:
            path.unlink()


def _googleapis() -> Path:
    """The site-packages root that holds google/api/*.proto."""
    from google.api import annotations_pb2

    return Path(annotations_pb2.__file__).parents[2]


if __name__ == "__main__":
    generate()
