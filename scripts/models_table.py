"""The reference page of known models, from the data file in the package."""

from __future__ import annotations

from secondpass.models.known import KnownModel, Prompt, known_models

RUNS = {
    "onnx": "ONNX Runtime",
    "torch": "PyTorch",
    "convert": "PyTorch, after conversion",
    "no": "not",
}
COLUMNS = ("model", "parameters", "languages", "license", "tokens", "architecture", "runs in")


def page(note: str) -> str:
    """Return docs/reference/models.md."""
    models = known_models()
    lines = [
        "# Known models",
        note,
        "Rerankers that people use, what loads them here, and what was published about them."
        " [Which model should I use?](../explanation/which-model.md) helps to choose,"
        " [use another model](../how-to/use-another-model.md) loads them. The same as JSON:"
        " `secondpass models known --json`.",
        "Licenses are those of the model cards. *Tokens* is the longest input that a model is"
        " meant for; a window has 512 (and the prompt) unless you set `max_length`. *Runs in*"
        " is ONNX Runtime where the repository has an ONNX graph. PyTorch is the extra `torch`;"
        " `secondpass export` makes an int8 ONNX graph of most encoders.",
        "\n".join(
            [
                "| " + " | ".join(COLUMNS) + " |",
                "|" + "---|" * len(COLUMNS),
                *(_row(model) for model in models),
            ]
        ),
        "## What cannot be loaded as it is",
        "\n".join(f"- `{m.name}` needs {m.needs}." for m in models if m.needs),
        "## Notes",
        "\n".join(f"- `{m.name}`: {m.note}." for m in models if m.note),
        "## Published figures",
        "Each figure is its source's, in percent. None was measured here, and figures of"
        " different measures cannot be compared: the first stage, the collections and the"
        " number of candidates differ. [Quality](../explanation/quality.md) has what was"
        " measured here, on the bundled models.",
        *_figures(models),
        "## Prompts",
        "What language models read of a pair. The parts are tokenized one by one. The score is"
        " the logit of the positive answer, less that of the negative one if there is one,"
        " times the scale. Special tokens in queries, documents and instructions are plain"
        " text. ⏎ is a line feed.",
        *_prompts(models),
    ]
    return "\n\n".join(lines) + "\n"


def _row(model: KnownModel) -> str:
    size = model.parameters / 1e6
    cells = (
        f"[`{model.name}`](https://huggingface.co/{model.name})",
        f"{size:.1f} M" if size < 100 else f"{size:,.0f} M",
        model.languages,
        model.license if model.commercial else f"{model.license} (not for commercial use)",
        f"{model.window:,}",
        f"{model.architecture} ({model.backbone})",
        RUNS[model.runs],
    )
    return "| " + " | ".join(cells) + " |"


def _figures(models: tuple[KnownModel, ...]) -> list[str]:
    """Return one table for each measure and source, best first."""
    tables: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for model in models:
        for figure in model.quality:
            key = (figure.measure, figure.source)
            tables.setdefault(key, []).append((figure.value, model.name))
    lines = []
    for (measure, source), rows in sorted(tables.items(), key=lambda t: -len(t[1])):
        ranked = sorted(rows, key=lambda row: (-row[0], row[1]))
        table = [f"| {measure} | |", "|---|--:|"]
        table += [f"| `{name}` | {value:.2f} |" for value, name in ranked]
        lines += ["\n".join(table), f"Source: <{source}>"]
    return lines


def _prompts(models: tuple[KnownModel, ...]) -> list[str]:
    users: dict[Prompt, list[str]] = {}
    for model in models:
        if model.prompt is not None:
            users.setdefault(model.prompt, []).append(f"`{model.name}`")
    lines = []
    for prompt, names in users.items():
        facts = [f'positive "{prompt.positive}"']
        if prompt.negative is not None:
            facts.append(f'negative "{prompt.negative}"')
        if prompt.scale != 1:
            facts.append(f"scale {prompt.scale:g}")
        if not prompt.takes_instruction:
            facts.append("takes no instruction")
        elif prompt.instruction:
            facts.append(f'instruction by default: "{prompt.instruction}"')
        else:
            facts.append("no instruction by default")
        parts = "\n".join(part.replace("\n", "⏎\n").rstrip("\n") for part in prompt.parts)
        lines += [", ".join(names) + ": " + "; ".join(facts) + ".", f"```text\n{parts}\n```"]
    return lines
