"""elman generate: text, or music, from a language model."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ._output import json_line


def generate(
    run: Annotated[Path, typer.Argument(help="The run folder of a language model.")],
    prompt: Annotated[
        str, typer.Option(help='How it starts: a text, or steps of MIDI notes as "60 64, 62".')
    ] = "",
    length: Annotated[int, typer.Option(help="Tokens, or steps, to add.")] = 200,
    temperature: Annotated[float, typer.Option(help="Below 1 is more cautious.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the likeliest k tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest p of them.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the text as JSON.")] = False,
) -> None:
    from elman.tasks import LanguageModel, load

    model = load(run)
    if not isinstance(model, LanguageModel):
        raise ValueError(
            f"{run}: the run is of the task {model.task}; generate needs a language-model."
        )
    is_music = model.level == "notes"
    pieces = model.stream(
        _steps(prompt) if is_music else prompt,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
    )
    if as_json:
        written = {"notes": list(pieces)} if is_music else {"text": "".join(pieces)}
        sys.stdout.write(json_line(written))
        return
    for piece in pieces:
        # a line for each step
        sys.stdout.write(" ".join(map(str, piece)) + "\n" if is_music else piece)
        sys.stdout.flush()
    if not is_music:
        sys.stdout.write("\n")


def _steps(prompt: str) -> list[list[int]]:
    """The steps of "60 64, 62"."""
    try:
        return [[int(note) for note in step.split()] for step in prompt.split(",") if prompt]
    except ValueError:
        raise ValueError(
            f'--prompt {prompt!r}: give MIDI notes, a comma between steps, as "60 64, 62".'
        ) from None
