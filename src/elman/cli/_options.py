"""The options that every training has, written once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer


def there(path: Path | None) -> Path | None:
    """Refuses a file that is not there before anything large is imported."""
    if path is not None and not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder.")
    if path is not None and not (path.is_file() or path.is_dir()):
        # it is read more than once
        raise ValueError(f"{path}: this is a pipe or a device; give a file.")
    return path


def refuse_columns(data: Path, given: dict[str, Any], kind: str) -> None:
    """Refuses options that name columns for data that has none.

    Args:
        data: what was given.
        given: the options and their values; None and () are those that were left out.
        kind: what the data is.

    Raises:
        ValueError: one was given.
    """
    for option, value in given.items():
        if value not in (None, ()):
            raise ValueError(f"{data}: {option} is for tables, and this is {kind}; leave it out.")


Data = Annotated[
    Path,
    typer.Argument(help="Data with the columns that it was trained on.", callback=there),
]

HeldOut = Annotated[
    Path | None,
    typer.Option(
        help="Data of the same kind to choose the best weights by, instead of a part.",
        callback=there,
    ),
]


@dataclass(kw_only=True)
class Training:
    """What every `elman train …` takes."""

    data: Annotated[
        Path,
        typer.Argument(
            help="A file or folder of the task's kinds: text, a table (CSV, TSV, JSON lines,"
            " Parquet), CoNLL, .ts, sounds.",
            callback=there,
        ),
    ]
    out: Annotated[Path, typer.Option(help="The folder to keep the run in.")]
    cell: Annotated[str | None, typer.Option(help="lstm, gru or rnn.")] = None
    hidden: Annotated[int | None, typer.Option(help="Units of a layer.")] = None
    layers: Annotated[int | None, typer.Option(help="Stacked layers.")] = None
    dropout: Annotated[float | None, typer.Option(help="Dropout on the layers' outputs.")] = None
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None
    batch: Annotated[int | None, typer.Option(help="Sequences in a batch.")] = None
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None
    precision: Annotated[
        str | None, typer.Option(help="Products of training in float32 or bfloat16.")
    ] = None
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same model.")] = None
    watch: Annotated[
        bool | None, typer.Option(help="Look at the gradient through time while training.")
    ] = None
    remedy: Annotated[
        str | None, typer.Option(help="auto treats a gradient that vanishes or explodes.")
    ] = None
    give_up: Annotated[
        bool | None, typer.Option(help="Stop early where the gradient does not arrive.")
    ] = None
    config: Annotated[Path | None, typer.Option(help="A TOML file of options.", callback=there)] = (
        None
    )
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Any option, as train.lr=0.002.")
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False

    def given(self, **own: Any) -> dict[str, Any]:
        """The options under the estimators' names, those of the task among them."""
        return {
            "cell": self.cell,
            "hidden_size": self.hidden,
            "num_layers": self.layers,
            "dropout": self.dropout,
            "epochs": self.epochs,
            "max_steps": self.max_steps,
            "batch_size": self.batch,
            "lr": self.lr,
            "precision": self.precision,
            "device": self.device,
            "random_state": self.seed,
            "watch": self.watch,
            "remedy": self.remedy,
            "give_up": self.give_up,
            **own,
        }


@dataclass(kw_only=True)
class ManyToOne:
    """What classifying and regressing take besides: which columns, how they are read."""

    label_column: Annotated[
        str | None, typer.Option(help="The column with what is to be told.")
    ] = None
    text_column: Annotated[str | None, typer.Option(help="The column with the text.")] = None
    sequence_column: Annotated[
        str | None, typer.Option(help="The column with lists of numbers.")
    ] = None
    id_column: Annotated[
        str | None, typer.Option(help="The column that says which sequence a row is a step of.")
    ] = None
    time_column: Annotated[str | None, typer.Option(help="The column that orders the steps.")] = (
        None
    )
    feature: Annotated[
        list[str] | None, typer.Option(help="A column of numbers of a step; repeatable.")
    ] = None
    level: Annotated[
        str | None, typer.Option(help="Texts are read by characters, words or subwords.")
    ] = None
    pooling: Annotated[str | None, typer.Option(help="last, mean, max or attention.")] = None
    bptt: Annotated[
        str | None, typer.Option(help="The gradient's way back: full, truncated or checkpointed.")
    ] = None
    bidirectional: Annotated[bool | None, typer.Option(help="Read from both ends.")] = None
    missing: Annotated[str | None, typer.Option(help="Missing numbers: error, ffill or mask.")] = (
        None
    )
    validation: HeldOut = None

    def columns(self) -> Any:
        """The columns that were named."""
        from elman.data import Columns

        return Columns(
            self.label_column,
            self.text_column,
            self.sequence_column,
            self.id_column,
            self.time_column,
            tuple(self.feature or ()),
        )

    def named(self) -> dict[str, Any]:
        """The options that name columns, under the names that people give."""
        names = ("label", "text", "sequence", "id", "time")
        columns = {f"--{name}-column": getattr(self, f"{name}_column") for name in names}
        return {**columns, "--feature": tuple(self.feature or ())}

    def given(self) -> dict[str, Any]:
        """The options under the estimators' names."""
        names = ("level", "pooling", "bptt", "bidirectional", "missing")
        return {name: getattr(self, name) for name in names}


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of each dataclass among its arguments spelled out."""
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, one in inspect.signature(command).parameters.items():
        if not is_dataclass(one.annotation):
            parameters.append(one)
            continue
        group: Any = one.annotation
        groups[name] = group
        hints = get_type_hints(group, include_extras=True)
        shared = inspect.signature(group).parameters
        parameters += [shared[key].replace(annotation=hints[key]) for key in shared]

    def called(**values: Any) -> None:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**made, **values)

    kind = inspect.Parameter.KEYWORD_ONLY
    wanted = [one.replace(kind=kind) for one in parameters]
    called.__signature__ = inspect.Signature(wanted)  # pyright: ignore[reportFunctionMemberAccess]
    called.__annotations__ = {one.name: one.annotation for one in wanted}
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    return called
