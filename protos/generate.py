"""Compile every .proto under protos/codelab in place: `python protos/generate.py`.

Writes, next to each .proto, its `_pb2.py`, `_pb2.pyi`, `_pb2_grpc.py` and `_pb2_grpc.pyi`, and beside them all
`codelab/descriptors.binpb`: the whole contract as a FileDescriptorSet with imports and comments.
"""

import importlib.resources
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "codelab"
DESCRIPTORS = PACKAGE / "descriptors.binpb"


def generate() -> None:
    sources = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.proto"))
    # Whoever finds the descriptor set finds a whole generation: it goes first and comes back last.
    DESCRIPTORS.unlink(missing_ok=True)
    _remove_orphans(sources)
    descriptors = _run_protoc(sources)
    _write_stubs(sources, descriptor_pb2.FileDescriptorSet.FromString(descriptors))
    DESCRIPTORS.write_bytes(descriptors)


def _run_protoc(sources: list[str]) -> bytes:
    """Write the Python modules; return the serialized descriptor set."""
    includes = [ROOT, importlib.resources.files("grpc_tools") / "_proto", _googleapis()]
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptors:
        arguments = [
            "protoc",
            *(f"-I{path}" for path in includes),
            f"--python_out={ROOT}",
            f"--grpc_python_out={ROOT}",
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={descriptors.name}",
            *sources,
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")
        return Path(descriptors.name).read_bytes()


def _write_stubs(sources: list[str], descriptors: descriptor_pb2.FileDescriptorSet) -> None:
    """Type messages and services with mypy-protobuf: protoc types neither grpc.aio, nor options, nor oneofs."""
    request = plugin_pb2.CodeGeneratorRequest(
        file_to_generate=sources, proto_file=descriptors.file, parameter="only_async"
    )
    for plugin in ("main", "grpc"):
        # By module, not by command name: a virtual environment need not be on PATH.
        process = subprocess.run(
            [sys.executable, "-c", f"from mypy_protobuf.main import {plugin}; {plugin}()"],
            input=request.SerializeToString(),
            capture_output=True,
        )
        if process.returncode != 0:
            raise SystemExit(f"mypy-protobuf failed: {process.stderr.decode()}")
        for file in plugin_pb2.CodeGeneratorResponse.FromString(process.stdout).file:
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
