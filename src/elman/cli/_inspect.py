"""elman inspect: the gradient through time of a trained model, in words and pictures."""

from pathlib import Path
from typing import Annotated

import typer

from ._options import there
from ._output import say, show


def inspect(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Data to look at it with; what it was trained on if left out.", callback=there
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder for diagnosis.json and the pictures; the run's if left out."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the diagnosis as JSON.")] = False,
) -> None:
    from elman.tasks import load
    from elman.train import Run

    model = load(run)
    known = Run.open(run).config["data"].get("source", "")
    source = data or Path(known)
    if (not known and data is None) or not source.exists():
        raise ValueError(
            f"{source if data or known else run}: the data is not there;"
            " give data of the same kind: elman inspect RUN DATA."
        )
    folder = out or run
    found = model.inspect(source, folder=folder)
    if as_json:
        show(found.to_json(), as_json=True)
        return
    say(str(found))
    say(f"{folder / 'diagnosis.json'} and {folder / 'plots'} hold the numbers and the pictures.")
