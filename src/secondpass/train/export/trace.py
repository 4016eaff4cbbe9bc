"""Tracing of a transformers model to a full-precision ONNX graph."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from secondpass.errors import MissingExtraError, ModelDamagedError
from secondpass.inference.runtimes.pretrained import silence_libraries

if TYPE_CHECKING:
    import onnx_ir as ir

Kind = Literal["cross-encoder", "embedder"]

# Gelu and LayerNormalization are single operators from version 20 on, which ONNX Runtime
# supports since 1.17.
OPSET = 20


def load_model(source: Path, kind: Kind) -> Any:
    """Load a transformers folder in full precision, on the CPU, in inference mode.

    Raises `MissingExtraError` without PyTorch, `ModelDamagedError` if the weights cannot
    be read or a tensor is missing.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "Exporting a model", package="transformers", extra="export"
        ) from error
    auto = "AutoModelForSequenceClassification" if kind == "cross-encoder" else "AutoModel"
    try:
        with silence_libraries():
            model, loading = getattr(transformers, auto).from_pretrained(
                str(source),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                # Scaled-dot-product attention is exported with a guard against NaN in every
                # layer; the plain form gives the same values with fewer operators.
                attn_implementation="eager",
                output_loading_info=True,
            )
    # safetensors raises its own error type, directly under Exception.
    except Exception as error:
        raise ModelDamagedError(
            "The source model cannot be read",
            where=str(source),
            why=str(error).splitlines()[0],
            fix="SOURCE must have config.json, model.safetensors and tokenizer.json.",
        ) from error
    missing = [k for k in loading["missing_keys"] if not (kind == "embedder" and "pooler" in k)]
    if missing:
        raise ModelDamagedError(
            "The source model lacks weights",
            where=str(source),
            why=f"no tensor named {', '.join(sorted(missing)[:3])}",
            fix="If it is an encoder without a head, pass --kind embedder."
            if kind == "cross-encoder"
            else None,
        )
    return model.eval()


def input_names(model: Any, kind: Kind) -> tuple[str, ...]:
    """Return the names of the graph's inputs: segment ids only if the model uses them."""
    accepted = inspect.signature(model.forward).parameters
    segments = int(getattr(model.config, "type_vocab_size", 0) or 0) > 1
    names = ("input_ids", "attention_mask")
    if kind == "cross-encoder" and segments and "token_type_ids" in accepted:
        return (*names, "token_type_ids")
    return names


def trace(model: Any, kind: Kind, states_layers: Sequence[int] = ()) -> ir.Model:
    """Return the ONNX graph of `model`; batch and tokens may have any length.

    Inputs are int64 [batch, tokens]. The output is `logits`, float32 [batch, labels], or
    for an embedder `embeddings`, float32 [batch, dimension]: the mean over the tokens
    that are not masked, at unit length. With `states_layers` an embedder also gives
    `states`, float32 [batch, tokens, width]: its tokens after each of these layers, joined.
    """
    import torch

    names = input_names(model, kind)
    outputs = ["logits" if kind == "cross-encoder" else "embeddings"]
    if states_layers:
        outputs.append("states")
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    ids = torch.full((2, 7), 3, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    example = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": torch.zeros_like(ids),
    }
    return to_onnx(
        _wrapper(model, kind, names, states_layers),
        {name: example[name] for name in names},
        {name: {0: batch, 1: tokens} for name in names},
        outputs,
    )


def to_onnx(
    module: Any, inputs: Mapping[str, Any], shapes: Mapping[str, Any], outputs: Sequence[str]
) -> ir.Model:
    """Return the graph of a module.

    `inputs` are example arrays by name, in the order of the module's arguments; `shapes`
    names the axes of any length, `outputs` names the outputs.
    """
    import torch

    with silence_libraries(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            dynamic_shapes=tuple(shapes[name] for name in inputs),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return _without_metadata(program.model)


def _without_metadata(model: ir.Model) -> ir.Model:
    """Remove the source location of each operator, which has paths of this machine."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    return model


def _wrapper(
    model: Any, kind: Kind, names: tuple[str, ...], states_layers: Sequence[int]
) -> Any:
    import torch

    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

    class CrossEncoder(Wrapper):
        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                token_type_ids=token_type_ids,
            ).logits

    class CrossEncoderWithoutSegments(Wrapper):
        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    class Embedder(Wrapper):
        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            outputs = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                output_hidden_states=bool(states_layers),
            )
            hidden = outputs[0]
            weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)
            unit = mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            if not states_layers:
                return unit
            states = [outputs.hidden_states[layer] for layer in states_layers]
            return unit, states[0] if len(states) == 1 else torch.cat(states, dim=-1)

    if kind == "embedder":
        return Embedder()
    return CrossEncoder() if len(names) == 3 else CrossEncoderWithoutSegments()
