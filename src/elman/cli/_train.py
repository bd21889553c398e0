"""elman train: a file in, a trained model out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._options import HeldOut, ManyToOne, Training, refuse_columns, spread, there
from ._output import say, show
from ._settings import settings

train = typer.Typer(no_args_is_help=True)


@train.command("language-model")
@spread
def language_model(
    shared: Training,
    level: Annotated[
        str | None, typer.Option(help="characters, words, tokens, subwords, or notes of music.")
    ] = None,
    bptt: Annotated[int | None, typer.Option(help="Steps of a window; for text.")] = None,
    text_column: Annotated[
        str | None, typer.Option(help="The column with the text, or with the notes.")
    ] = None,
    transpose: Annotated[
        int | None, typer.Option(help="Semitones that training moves a piece by at most.")
    ] = None,
    validation: HeldOut = None,
) -> None:
    """The next character, word or subword of a text, or the next notes of a piece."""
    from elman.data import is_table
    from elman.tasks import LanguageModel

    if not is_table(shared.data):
        refuse_columns(shared.data, {"--text-column": text_column}, "text")
    given = shared.given(level=level, bptt=bptt, transpose=transpose)
    chosen = settings(LanguageModel, shared.config, shared.sets, given)
    if transpose is not None and chosen.get("level") != "notes":
        raise ValueError("--transpose is for pieces of music; leave it out, or give --level notes.")
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

    given = shared.given(**sequences.given())
    is_ts = shared.data.name.removesuffix(".gz").endswith(".ts")
    if is_ts or shared.data.is_dir():
        # a file that says what is what, or a folder whose folders are classes
        kind = "a .ts file" if is_ts else "a folder of classes"
        refuse_columns(shared.data, sequences.named(), kind)
        _run(estimator, shared, given, validation=sequences.validation)
        return
    table = read_table(shared.data)
    columns = guess_columns(table, sequences.columns(), str(shared.data), labelled=True)
    _tell(shared, columns)
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
    lag: Annotated[
        list[int] | None,
        typer.Option(help="Steps back to lean on, as 168 for weeks of hours; repeatable."),
    ] = None,
    log: Annotated[
        bool | None, typer.Option(help="Forecast logarithms; errors count in proportion.")
    ] = None,
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
        horizon=horizon,
        context=context,
        season=season,
        lags=tuple(lag) if lag else None,
        log=log,
        strategy=strategy,
        missing=missing,
    )
    _run(Forecaster, shared, given, columns=columns)


@train.command("tag")
@spread
def tag(
    shared: Training,
    word_column: Annotated[int | None, typer.Option(help="The words' column, from 1.")] = None,
    tag_column: Annotated[int | None, typer.Option(help="The tags' column, or -1.")] = None,
    label: Annotated[
        str | None,
        typer.Option(help="The comment with a sentence's label: intent for '# intent = Play'."),
    ] = None,
    crf: Annotated[bool | None, typer.Option(help="Tell a sentence's tags together.")] = None,
    validation: HeldOut = None,
) -> None:
    """The tag of each word, and the label of each sentence: CoNLL and CoNLL-U files."""
    from elman.data import TagColumns
    from elman.tasks import SequenceTagger

    columns = None
    if any(one is not None for one in (word_column, tag_column, label)):
        columns = TagColumns(word_column, tag_column, label)
    _run(SequenceTagger, shared, shared.given(crf=crf), columns=columns, validation=validation)


@train.command("translate")
@spread
def translate(
    shared: Training,
    targets: Annotated[
        Path | None,
        typer.Option(help="A text file whose lines go with those of DATA.", callback=there),
    ] = None,
    validation: HeldOut = None,
    validation_targets: Annotated[
        Path | None,
        typer.Option(help="The file whose lines go with those of --validation.", callback=there),
    ] = None,
    source_column: Annotated[str | None, typer.Option(help="The column that is read.")] = None,
    target_column: Annotated[
        str | None, typer.Option(help="The column that is written; a number in a bare .tsv.")
    ] = None,
    source_level: Annotated[
        str | None, typer.Option(help="words, characters, subwords or tokens.")
    ] = None,
    target_level: Annotated[str | None, typer.Option(help="As --source-level.")] = None,
    attention: Annotated[str | None, typer.Option(help="additive, multiplicative or none.")] = None,
) -> None:
    """A text for a text: two columns of a table, or two files."""
    from elman.tasks import Translator

    if targets is not None:
        named = {"--source-column": source_column, "--target-column": target_column}
        refuse_columns(shared.data, named, "a text whose lines go with those of --targets")
    columns = _pair_columns(source_column, target_column)
    held: Any = validation
    if validation_targets is not None:
        if validation is None:
            raise ValueError("--validation-targets needs the sources too; give --validation.")
        held = (validation, validation_targets)
    given = shared.given(source_level=source_level, target_level=target_level, attention=attention)
    _run(Translator, shared, given, y=targets, columns=columns, validation=held)


@train.command("generate")
@spread
def generate(
    shared: Training,
    level: Annotated[str | None, typer.Option(help="characters, subwords or tokens.")] = None,
    condition: Annotated[
        str | None, typer.Option(help="The start makes the state, the input, or both.")
    ] = None,
    start_column: Annotated[
        list[str] | None, typer.Option(help="The label, or a number of the vector; repeatable.")
    ] = None,
    sequence_column: Annotated[
        str | None, typer.Option(help="The column with the text or the list of numbers.")
    ] = None,
    validation: HeldOut = None,
) -> None:
    """A sequence that a label or a vector of numbers starts."""
    from elman.data import StartColumns
    from elman.tasks import SequenceGenerator

    columns = None
    if start_column or sequence_column is not None:
        columns = StartColumns(tuple(start_column or ()), sequence_column)
    given = shared.given(level=level, condition=condition)
    _run(SequenceGenerator, shared, given, columns=columns, validation=validation)


@train.command("recognize")
@spread
def recognize(
    shared: Training,
    level: Annotated[str | None, typer.Option(help="characters or words.")] = None,
    file_column: Annotated[str | None, typer.Option(help="The column with the files.")] = None,
    text_column: Annotated[str | None, typer.Option(help="The column with the texts.")] = None,
    sequence_column: Annotated[
        str | None, typer.Option(help="The column with the features, instead of files.")
    ] = None,
    bidirectional: Annotated[
        bool | None, typer.Option(help="Read from both ends; without, the model streams.")
    ] = None,
    augment: Annotated[bool | None, typer.Option(help="Hide parts of the training.")] = None,
    validation: HeldOut = None,
) -> None:
    """What is said: WAV or feature files, named in a table or with a .txt beside each; or lists."""
    from elman.data import SpeechColumns
    from elman.tasks import SpeechRecognizer

    columns = None
    if any(one is not None for one in (file_column, text_column, sequence_column)):
        columns = SpeechColumns(file_column, text_column, sequence_column)
    given = shared.given(level=level, bidirectional=bidirectional, augment=augment)
    _run(SpeechRecognizer, shared, given, columns=columns, validation=validation)


def _pair_columns(source: str | None, target: str | None) -> Any:
    """The columns that were named or numbered."""
    from elman.data import PairColumns

    if source is None and target is None:
        return None
    numbered = [int(one) if one is not None and one.isdigit() else one for one in (source, target)]
    return PairColumns(*numbered)


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


# the whole of what each one does, where the list of commands would cut it off
for _command in train.registered_commands:
    _command.short_help = _command.callback.__doc__ if _command.callback else None
