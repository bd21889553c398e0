"""The model card of a run."""

from typing import Any

from elman.diagnostics import Diagnosis
from elman.train import Run


def model_card(run: Run, results: dict[str, Any], found: Diagnosis | None) -> str:
    """What the model is, how it did, how to use it."""
    config = run.config
    lines = [f"# {config['task']}: {run.path.name}", "", "## Results", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {_number(value)} |" for name, value in results.items()]
    lines += ["", "![loss](plots/loss.png)", ""]
    if (run.path / "plots" / "attention.png").is_file():
        lines += ["## Attention", "", "![attention](plots/attention.png)", ""]
    if found is not None:
        lines += ["## Gradient through time", ""]
        lines += [f"Reach: {reach_text(found)}. {found.kind}: {found.sentence()}", ""]
    if (run.path / "plots" / "reach.png").is_file():
        lines += ["![gradient by lag](plots/reach.png)", ""]
    lines += ["## Options", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in config["params"].items()]
    lines += ["", "## Data", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in config["data"].items()]
    lines += [
        "",
        "## Use",
        "",
        "```python",
        "import elman",
        "",
        f'model = elman.load("{run.path.name}")',
        "```",
        "",
        f"Trained with elman {config['elman']}.",
    ]
    return "\n".join(lines) + "\n"


def reach_text(found: Diagnosis) -> str:
    """How far back the gradient reaches."""
    reach = found.reach
    return (
        f"all {reach.steps:,} steps"
        if reach.lag is None
        else f"{reach.lag:,} of {reach.steps:,} steps"
    )


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
