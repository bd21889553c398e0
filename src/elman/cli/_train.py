"""elman train: a file in, a trained model out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._output import say, show
from ._settings import settings

train = typer.Typer(no_args_is_help=True, help="Train a model on a file and keep it in a folder.")

Data = Annotated[
    Path, typer.Argument(help="A text file or a folder of them, CSV, TSV, JSON lines or Parquet.")
]
Out = Annotated[Path, typer.Option("--out", help="The folder to keep the run in.")]
Cell = Annotated[str | None, typer.Option("--cell", help="lstm, gru or rnn.")]
Hidden = Annotated[int | None, typer.Option("--hidden", help="Units of a layer.")]
Layers = Annotated[int | None, typer.Option("--layers", help="Stacked layers.")]
Dropout = Annotated[float | None, typer.Option("--dropout", help="Dropout on the layers' outputs.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the data.")]
Steps = Annotated[int | None, typer.Option("--max-steps", help="Stop after so many steps.")]
Batch = Annotated[int | None, typer.Option("--batch", help="Sequences in a batch.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Learning rate.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed gives the same model.")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file of options.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Any option, as train.lr=0.002.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
TextColumn = Annotated[str | None, typer.Option("--text-column", help="The column with the text.")]


@train.command("language-model")
def language_model(
    data: Data,
    out: Out,
    level: Annotated[str | None, typer.Option(help="characters, words or subwords.")] = None,
    bptt: Annotated[int | None, typer.Option(help="Steps of a window.")] = None,
    text_column: TextColumn = None,
    cell: Cell = None,
    hidden: Hidden = None,
    layers: Layers = None,
    dropout: Dropout = None,
    epochs: Epochs = None,
    max_steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    device: Device = None,
    seed: Seed = None,
    config: Config = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """The next character, word or subword of a text."""
    from elman.tasks import LanguageModel

    given = _common(cell, hidden, layers, dropout, epochs, max_steps, batch, lr, device, seed)
    params = settings(LanguageModel, config, sets, {**given, "level": level, "bptt": bptt})
    model = LanguageModel(**params)
    _run(model, out, as_json, data, column=text_column)


def _common(
    cell: str | None,
    hidden: int | None,
    layers: int | None,
    dropout: float | None,
    epochs: int | None,
    max_steps: int | None,
    batch: int | None,
    lr: float | None,
    device: str | None,
    seed: int | None,
) -> dict[str, Any]:
    """The options that every task has, under the estimators' names."""
    return {
        "cell": cell,
        "hidden_size": hidden,
        "num_layers": layers,
        "dropout": dropout,
        "epochs": epochs,
        "max_steps": max_steps,
        "batch_size": batch,
        "lr": lr,
        "device": device,
        "random_state": seed,
    }


def _run(model: Any, out: Path, as_json: bool, *data: Any, **more: Any) -> None:
    """Fits a model and shows how it did."""
    from elman.train import Run

    is_old = (out / "config.json").is_file() and Run.open(out).finished
    model.fit(*data, run=out, progress=True, **more)
    if is_old and not as_json:
        say(f"{out} was trained already with these options; nothing was changed.")
    show({**model.results_, "run": str(out)}, as_json=as_json)
