"""elman predict: what a trained model says about a file."""

from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import typer

from ._options import Data
from ._output import say, show


def predict(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="A .csv, .tsv, .jsonl or .parquet file to write.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    from elman.tasks import LanguageModel, load
    from elman.train import atomic_write

    if out.suffix.lower() not in _WRITERS:
        raise ValueError(f"{out}: cannot write that; give a file in {', '.join(_WRITERS)}.")
    if not out.parent.is_dir():
        raise ValueError(f"{out}: there is no folder {out.parent}; make it first.")
    if out.exists() and data.exists() and out.samefile(data):
        raise ValueError(f"{out}: that is the data itself; give another file to write.")
    model = load(run)
    if isinstance(model, LanguageModel):
        raise ValueError(
            f"{run}: a language-model continues text; give elman generate, or elman evaluate."
        )
    columns = model.predictions(data)
    atomic_write(out, _WRITERS[out.suffix.lower()](columns))
    count = len(next(iter(columns.values())))
    if as_json:
        show({"rows": count, "out": str(out)}, as_json=True)
    else:
        say(f"{count:,} rows written to {out}.")


def _separated(columns: dict[str, Any], delimiter: str) -> bytes:
    import pyarrow as pa
    import pyarrow.csv as csv

    stream = BytesIO()
    options = csv.WriteOptions(delimiter=delimiter, quoting_style="needed")
    csv.write_csv(pa.table(columns), stream, options)
    return stream.getvalue()


def _lines(columns: dict[str, Any]) -> bytes:
    import json

    import pyarrow as pa

    rows = pa.table(columns).to_pylist()
    return "".join(json.dumps(row, default=str) + "\n" for row in rows).encode()


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
