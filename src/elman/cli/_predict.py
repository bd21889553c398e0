"""elman predict: what a trained model says about a file."""

from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import typer

from ._options import Data
from ._output import json_line, say, show


def predict(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="A .csv, .tsv, .jsonl or .parquet file to write.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    from elman.tasks import LanguageModel, SequenceGenerator, load
    from elman.train import atomic_write

    suffix = out.suffix.lower()
    if suffix not in _WRITERS:
        raise ValueError(f"{out}: cannot write that; give a file in {', '.join(_WRITERS)}.")
    if not out.parent.is_dir():
        raise ValueError(f"{out}: there is no folder {out.parent}; make it first.")
    if out.exists() and data.exists() and out.samefile(data):
        raise ValueError(f"{out}: that is the data itself; give another file to write.")
    if out.exists() and out.resolve().is_relative_to(run.resolve()):
        raise ValueError(f"{out}: that is a file of the run itself; give another file to write.")
    model = load(run)
    if isinstance(model, LanguageModel):
        raise ValueError(
            f"{run}: a language-model continues text; give elman generate, or elman evaluate."
        )
    if isinstance(model, SequenceGenerator) and _has_lists(model) and suffix in (".csv", ".tsv"):
        raise ValueError(
            f"{out}: the rows hold lists of numbers, for which {suffix} has no place; give a .jsonl"
            " or .parquet file."
        )
    columns = model.predictions(data)
    atomic_write(out, _WRITERS[suffix](columns))
    count = len(next(iter(columns.values())))
    if as_json:
        show({"rows": count, "out": str(out)}, as_json=True)
    else:
        say(f"{count:,} rows written to {out}.")


def _has_lists(model: Any) -> bool:
    """Whether a generator's sequences, or what starts them, are lists of numbers."""
    return not model.is_text_ or (model.classes_ is None and len(model.start_scaler_.mean) > 1)


def _separated(columns: dict[str, Any], delimiter: str) -> bytes:
    import pyarrow as pa
    import pyarrow.csv as csv

    stream = BytesIO()
    options = csv.WriteOptions(delimiter=delimiter, quoting_style="needed")
    csv.write_csv(pa.table(columns), stream, options)
    return stream.getvalue()


def _lines(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa

    return "".join(json_line(row, default=str) for row in pa.table(columns).to_pylist()).encode()


def _parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    stream = BytesIO()
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


_WRITERS: dict[str, Any] = {
    ".csv": lambda columns: _separated(columns, ","),
    ".tsv": lambda columns: _separated(columns, "\t"),
    ".jsonl": _lines,
    ".parquet": _parquet,
}
