"""elman evaluate: a trained model on other data."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import show


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Annotated[Path, typer.Argument(help="Data like that it was trained on.")],
    text_column: Annotated[str | None, typer.Option(help="The column with the text.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Measure a trained model on data."""
    from elman.tasks import load

    model = load(run)
    show(model.evaluate(data, column=text_column), as_json=as_json)
