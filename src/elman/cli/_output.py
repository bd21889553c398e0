"""What the commands print."""

import json
import sys
from typing import Any


def show(results: dict[str, Any], *, as_json: bool, title: str = "") -> None:
    """Prints results, as a table for people or as one line of JSON for scripts."""
    if as_json:
        sys.stdout.write(json.dumps(results) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, show_header=False, title_justify="left")
    for name, value in results.items():
        table.add_row(name.replace("_", " "), number(value))
    Console().print(table)


def number(value: Any) -> str:
    """A figure as people read it."""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def say(text: str) -> None:
    """Prints a line for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
