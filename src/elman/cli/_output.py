"""What the commands print."""

import json
import math
import sys
from collections.abc import Callable
from typing import Any, cast


def show(results: dict[str, Any], *, as_json: bool, title: str = "") -> None:
    """Prints results, as a table for people or as one line of JSON for scripts."""
    if as_json:
        sys.stdout.write(json_line(results))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, show_header=False, title_justify="left")
    for name, value in results.items():
        table.add_row(name.replace("_", " "), number(value))
    # names come from people, and may have brackets and colons in them
    Console(markup=False, emoji=False).print(table)


def json_line(found: Any, default: Callable[[Any], Any] | None = None) -> str:
    """JSON in a line; NaN and the infinities, which JSON has not, are null."""
    return json.dumps(_finite(found), default=default, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in cast(dict[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in cast(list[Any], value)]
    return value


def number(value: Any) -> str:
    """A figure as people read it."""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def say(text: str) -> None:
    """Prints a line for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
