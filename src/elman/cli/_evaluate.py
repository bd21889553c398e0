"""elman evaluate: a trained model on other data."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._options import Data, refuse_columns, there
from ._output import show


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Data,
    text_column: Annotated[
        str | None, typer.Option(help="Language models: the column with the text or notes.")
    ] = None,
    cache: Annotated[
        int | None, typer.Option(help="Language models: tokens that a cache remembers.")
    ] = None,
    dynamic: Annotated[
        float | None,
        typer.Option(help="Language models: learning rate of steps on what was read."),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option(help="Translators: a file whose lines go with those of DATA.", callback=there),
    ] = None,
    raw: Annotated[
        Path | None,
        typer.Option(
            help="Translators: the targets as raw text; adds sacrebleu's default BLEU.",
            callback=there,
        ),
    ] = None,
    last: Annotated[
        int | None, typer.Option(help="Forecasts: measure them in the last steps of each series.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    from elman.data import is_table
    from elman.tasks import Adaptation, Forecaster, LanguageModel, Translator, load

    model = load(run)
    for option, value, made in (
        ("--text-column", text_column, LanguageModel),
        ("--cache", cache, LanguageModel),
        ("--dynamic", dynamic, LanguageModel),
        ("--targets", targets, Translator),
        ("--raw", raw, Translator),
        ("--last", last, Forecaster),
    ):
        if value is not None and not isinstance(model, made):
            raise ValueError(
                f"{run}: {option} is for the task {made.task}, and the run is of the task"
                f" {model.task}; leave it out."
            )
    if not is_table(data):
        refuse_columns(data, {"--text-column": text_column}, "text")
    options: dict[str, Any] = {}
    if isinstance(model, LanguageModel):
        options["column"] = text_column
        if cache is not None or dynamic is not None:
            options["adaptation"] = Adaptation(cache=cache or 0, dynamic=dynamic or 0.0)
    if isinstance(model, Forecaster):
        options["last"] = last
    if isinstance(model, Translator):
        options |= {"y": targets, "raw": raw}
    show(model.evaluate(data, **options), as_json=as_json)
