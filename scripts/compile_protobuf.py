"""Compile the messages of Weaviate's gRPC protocol, after a change of weaviate.proto.

    .venv/bin/python scripts/compile_protobuf.py

The result is a description that every version of protobuf reads; Python code made by protoc
would run with one or two major versions of it.
"""

from __future__ import annotations

from pathlib import Path

import grpc_tools
from grpc_tools import protoc

FOLDER = Path(__file__).parents[1] / "src/secondpass/server/weaviate/grpc"
SOURCE = FOLDER / "weaviate.proto"
COMPILED = FOLDER / "weaviate.binpb"


def compile_messages(target: Path) -> None:
    """Compile the source with protoc and write the descriptor set to `target`."""
    bundled_protos = Path(grpc_tools.__file__).parent / "_proto"
    arguments = [
        f"-I{FOLDER}",
        f"-I{bundled_protos}",
        f"--descriptor_set_out={target}",
        SOURCE.name,
    ]
    if protoc.main(["protoc", *arguments]):
        raise SystemExit(1)


if __name__ == "__main__":
    compile_messages(COMPILED)
