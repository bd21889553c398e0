"""Tables that programs write into the documents."""

from pathlib import Path

_ROOT = Path(__file__).parent.parent


def put_in(document: str, name: str, table: str) -> None:
    """Puts a table between the marks of that name in a document, a path in the repository."""
    path, start, end = _ROOT / document, f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = path.read_text().partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{document}: no {start.strip()} … {end}; put them where the table goes.")
    path.write_text(before + start + table + end + after)
