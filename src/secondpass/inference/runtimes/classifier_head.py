"""The classification head of sentence-transformers: pooling, dense layers and norms.

A cross-encoder of sentence-transformers 5.4 and later may be a plain encoder in the folder's
root, followed by modules in subfolders that `modules.json` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from secondpass.errors import ModelDamagedError, ModelError
from secondpass.inference.model_folder import ModelFolder

_ACTIVATIONS = ("GELU", "Identity", "ReLU", "SiLU", "Sigmoid", "Tanh")
_POOLED = "sentence_embedding"

Features = dict[str, Any]
"""Tensors by name, as sentence-transformers passes them from module to module."""

Module = Callable[[Features], Any]


def has_head(folder: ModelFolder) -> bool:
    """Return whether modules behind the encoder compute the score."""
    return any(_kind(module) == "Dense" for module in folder.modules)


def count_outputs(folder: ModelFolder) -> int:
    """Return the number of labels: the width of the last dense layer."""
    last = [m for m in folder.modules if _kind(m) == "Dense"][-1]
    return int(folder.read_json(f"{last.get('path')}/config.json").get("out_features", 1))


def build_head(folder: ModelFolder, device: Any) -> Callable[[Any, Any], Any]:
    """Return a function from token states and attention mask to scores.

    States are [batch, tokens, width], the mask [batch, tokens], scores [batch, labels], all on
    `device`. Raises `ModelError` for a module that is not known here, `ModelDamagedError` for
    one whose files are missing or incomplete.
    """
    first, *others = folder.modules
    if _kind(first) != "Transformer" or first.get("path"):
        raise _unsupported(folder, f"its first module is {_kind(first)!r} or in a subfolder")
    modules = [_build_module(folder, module, device) for module in others]

    def head(states: Any, mask: Any) -> Any:
        features: Features = {"token_embeddings": states, "attention_mask": mask}
        for module in modules:
            module(features)
        return features["scores"]

    return head


def _build_module(folder: ModelFolder, module: Mapping[str, Any], device: Any) -> Module:
    kind, place = _kind(module), folder.path / str(module.get("path"))
    config = folder.read_json(f"{module.get('path')}/config.json")
    try:
        if kind == "Pooling":
            return _pooling(folder, config)
        if kind == "Dense":
            return _dense(folder, config, _weights(place, device))
        if kind == "LayerNorm":
            return _layer_norm(_weights(place, device))
    except (OSError, KeyError) as error:
        raise ModelDamagedError(
            f"The module {kind} of the model is incomplete", where=str(place), why=str(error)
        ) from error
    if kind == "Dropout":
        return lambda features: None
    raise _unsupported(folder, f"it has a module {kind!r}")


def _kind(module: Mapping[str, Any]) -> str:
    return str(module.get("type", "")).rpartition(".")[2]


_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
}


def _pooling(folder: ModelFolder, config: Mapping[str, Any]) -> Module:
    """Return the pooling; `pooling_mode` names it, or flags do in older folders."""
    flags = [name for name, value in config.items() if value is True and "pooling_mode" in name]
    modes = [_POOLING_FLAGS.get(flag, flag) for flag in flags]
    mode = config.get("pooling_mode", modes[0] if len(modes) == 1 else modes)
    if mode not in _POOLING_FLAGS.values():
        raise _unsupported(folder, f"its pooling is {mode!r}")

    def pool(features: Features) -> None:
        states, mask = features["token_embeddings"], features["attention_mask"]
        weights = mask.unsqueeze(-1).to(states.dtype)
        if mode == "cls":
            pooled = states[:, 0]
        elif mode == "lasttoken":
            pooled = last_states(states, mask)
        elif mode == "max":
            pooled = states.masked_fill(weights == 0, float("-inf")).amax(1)
        else:
            pooled = (states * weights).sum(1) / weights.sum(1)
        features[_POOLED] = pooled

    return pool


def last_states(states: Any, mask: Any) -> Any:
    """Return the state of each row's last token, [batch, width], where padding is behind it."""
    import torch

    last = mask.sum(1) - 1
    return states[torch.arange(len(states), device=states.device), last]


def _dense(
    folder: ModelFolder, config: Mapping[str, Any], weights: Mapping[str, Any]
) -> Module:
    from torch import nn
    from torch.nn import functional

    path = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = path.rpartition(".")[2]
    if not path.startswith("torch.") or name not in _ACTIVATIONS:
        raise _unsupported(folder, f"an activation is {path!r}")
    if config.get("use_residual"):
        raise _unsupported(folder, "a dense layer has a residual connection")
    activate = getattr(nn, name)()
    weight, bias = weights["linear.weight"], weights.get("linear.bias")
    source = str(config.get("module_input_name", _POOLED))
    target = str(config.get("module_output_name") or source)

    def dense(features: Features) -> None:
        features[target] = activate(functional.linear(features[source], weight, bias))

    return dense


def _layer_norm(weights: Mapping[str, Any]) -> Module:
    from torch.nn import functional

    weight, bias = weights["norm.weight"], weights["norm.bias"]

    def normalize(features: Features) -> None:
        features[_POOLED] = functional.layer_norm(features[_POOLED], weight.shape, weight, bias)

    return normalize


def _weights(place: Path, device: Any) -> Mapping[str, Any]:
    import torch
    from safetensors.torch import load_file

    return {
        name: tensor.to(device, torch.float32)
        for name, tensor in load_file(place / "model.safetensors").items()
    }


def _unsupported(folder: ModelFolder, why: str) -> ModelError:
    return ModelError(
        "The model's modules are not supported",
        where=f"{folder.path}/modules.json",
        why=why,
        fix="`secondpass models known` lists models that can be loaded.",
    )
