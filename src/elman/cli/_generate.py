"""elman generate: text from a language model."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def generate(
    run: Annotated[Path, typer.Argument(help="The run folder of a language model.")],
    prompt: Annotated[str, typer.Option(help="How the text starts.")] = "",
    length: Annotated[int, typer.Option(help="Tokens to add.")] = 200,
    temperature: Annotated[float, typer.Option(help="Below 1 is more cautious.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the likeliest k tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest p of them.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the text as JSON.")] = False,
) -> None:
    """Continue a text with a trained language model."""
    from elman.tasks import LanguageModel, load

    model = load(run)
    if not isinstance(model, LanguageModel):
        raise ValueError(
            f"{run}: the run is of the task {model.task}; generate needs a language-model."
        )
    pieces = model.stream(
        prompt, length=length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
    )
    if as_json:
        sys.stdout.write(json.dumps({"text": "".join(pieces)}) + "\n")
        return
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
