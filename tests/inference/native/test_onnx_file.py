from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.native.onnx_file import UnreadableGraph, read_graph


def test_it_reads_what_the_onnx_package_reads(cross_encoder: ModelFolder) -> None:
    onnx = pytest.importorskip("onnx")
    assert cross_encoder.onnx is not None
    theirs = onnx.load(cross_encoder.onnx).graph
    ours = read_graph(cross_encoder.onnx)
    assert ours.inputs == tuple(i.name for i in theirs.input)
    assert ours.outputs == tuple(o.name for o in theirs.output)
    assert len(ours.nodes) == len(theirs.node)
    for node, expected in zip(ours.nodes, theirs.node, strict=True):
        assert node.kind == expected.op_type
        assert node.inputs == tuple(expected.input)
        assert node.outputs == tuple(expected.output)
        for attribute in expected.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, bytes):
                value = value.decode()
            if isinstance(value, int | float | str):
                assert node.attributes[attribute.name] == pytest.approx(value)
            elif isinstance(value, list) and value and isinstance(value[0], int):
                assert node.attributes[attribute.name] == tuple(value)
    assert set(ours.tables) == {tensor.name for tensor in theirs.initializer}
    for tensor in theirs.initializer:
        expected = onnx.numpy_helper.to_array(tensor)
        assert ours.tables[tensor.name].dtype == expected.dtype
        np.testing.assert_array_equal(ours.tables[tensor.name], expected)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x00" * 64, b"\x3a\x7f", b"\x08\x01"])
def test_other_bytes_are_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(UnreadableGraph):
        read_graph(tmp_path / "model.onnx")


@settings(max_examples=60)
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused_but_never_crash(
    data: st.DataObject, cross_encoder: ModelFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert cross_encoder.onnx is not None
    content = bytearray(cross_encoder.onnx.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        # Most of the file are weights: damage the structure at both ends too.
        place = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 4000))
        content[place] ^= data.draw(st.integers(1, 255))
    keep = data.draw(st.integers(1, len(content)) | st.just(len(content)))
    file = tmp_path_factory.mktemp("damaged") / "model.onnx"
    file.write_bytes(content[:keep])
    with contextlib.suppress(UnreadableGraph):
        read_graph(file)
