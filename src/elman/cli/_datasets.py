"""elman datasets: public data that the readers know."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import say, show


def datasets(
    name: Annotated[str | None, typer.Argument(help="A data set; all without.")] = None,
    path: Annotated[
        Path | None, typer.Option(help="A folder with a copy of it, to be checked.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    from dataclasses import asdict

    from elman.data import DATASETS, check_dataset

    if name is not None and name not in DATASETS:
        raise ValueError(f"{name}: no such data set; those known are {', '.join(DATASETS)}.")
    if path is not None:
        if name is None:
            raise ValueError("--path checks the copy of one data set; name it.")
        files = check_dataset(name, path)
        if as_json:
            show({"name": name, "files": [str(one) for one in files]}, as_json=True)
        else:
            say(f"{name}: {len(files)} files as they should be below {path}.")
        return
    chosen = [DATASETS[name]] if name is not None else list(DATASETS.values())
    if as_json:
        show({one.name: asdict(one) for one in chosen}, as_json=True)
        return
    for one in chosen:
        say(f"{one.name}: {one.task}, {one.megabytes:g} MB, {one.licence}; {one.source}")
        if name is not None:
            say(f"  {one.command}")
