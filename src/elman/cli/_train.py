"""elman train: a file in, a trained model out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._options import HELD_OUT, ManyToOne, Training, spread
from ._output import say, show
from ._settings import settings

train = typer.Typer(no_args_is_help=True, help="Train a model on a file and keep it in a folder.")


@train.command("language-model")
@spread
def language_model(
    shared: Training,
    level: Annotated[str | None, typer.Option(help="characters, words or subwords.")] = None,
    bptt: Annotated[int | None, typer.Option(help="Steps of a window.")] = None,
    text_column: Annotated[str | None, typer.Option(help="The column with the text.")] = None,
    validation: Annotated[Path | None, typer.Option(help=HELD_OUT)] = None,
) -> None:
    """The next character, word or subword of a text."""
    from elman.tasks import LanguageModel

    given = shared.given(level=level, bptt=bptt)
    _run(LanguageModel, shared, given, column=text_column, validation=validation)


@train.command("classify")
@spread
def classify(shared: Training, sequences: ManyToOne) -> None:
    """The class of a text or of a sequence of numbers."""
    from elman.tasks import SequenceClassifier

    _many_to_one(SequenceClassifier, shared, sequences)


@train.command("regress")
@spread
def regress(shared: Training, sequences: ManyToOne) -> None:
    """The number that goes with a text or with a sequence of numbers."""
    from elman.tasks import SequenceRegressor

    _many_to_one(SequenceRegressor, shared, sequences)


def _many_to_one(estimator: Any, shared: Training, sequences: ManyToOne) -> None:
    from elman.data import guess_columns, read_table

    table = read_table(shared.data)
    columns = guess_columns(table, sequences.columns(), str(shared.data), labelled=True)
    _tell(shared, columns)
    given = shared.given(**sequences.given())
    _run(estimator, shared, given, columns=columns, validation=sequences.validation)


@train.command("forecast")
@spread
def forecast(
    shared: Training,
    horizon: Annotated[int | None, typer.Option(help="Steps ahead.")] = None,
    target_column: Annotated[str | None, typer.Option(help="The column to forecast.")] = None,
    time_column: Annotated[str | None, typer.Option(help="The column that says when.")] = None,
    id_column: Annotated[str | None, typer.Option(help="The column that says which.")] = None,
    covariate: Annotated[
        list[str] | None, typer.Option(help="A column that is known up to now; repeatable.")
    ] = None,
    known: Annotated[
        list[str] | None, typer.Option(help="A column that is known ahead; repeatable.")
    ] = None,
    context: Annotated[int | None, typer.Option(help="Steps to read before a forecast.")] = None,
    season: Annotated[int | None, typer.Option(help="Steps of a season.")] = None,
    strategy: Annotated[str | None, typer.Option(help="direct or recursive.")] = None,
    missing: Annotated[
        str | None, typer.Option(help="Missing numbers and steps: error, ffill or mask.")
    ] = None,
) -> None:
    """The next steps of one or many series, with intervals."""
    from elman.data import SeriesColumns, guess_series_columns, read_table
    from elman.tasks import Forecaster

    asked = SeriesColumns(
        target_column, time_column, id_column, tuple(covariate or ()), tuple(known or ())
    )
    columns = guess_series_columns(read_table(shared.data), asked, str(shared.data))
    _tell(shared, columns)
    given = shared.given(
        horizon=horizon, context=context, season=season, strategy=strategy, missing=missing
    )
    _run(Forecaster, shared, given, columns=columns)


def _tell(shared: Training, columns: Any) -> None:
    if not shared.as_json:
        say(columns.describe())


def _run(estimator: Any, shared: Training, given: dict[str, Any], **more: Any) -> None:
    """Fits a model and shows how it did."""
    from elman.train import Run

    model = estimator(**settings(estimator, shared.config, shared.sets, given))
    out = shared.out
    is_old = (out / "config.json").is_file() and Run.open(out).finished
    model.fit(shared.data, run=out, progress=True, **more)
    if is_old and not shared.as_json:
        say(f"{out} was trained already with these options; nothing was changed.")
    show({**model.results_, "run": str(out)}, as_json=shared.as_json)
