"""Tables of the README that programs write."""

from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def put_in_readme(name: str, table: str) -> None:
    """Puts a table between the README's marks of that name."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = README.read_text().partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"README.md: no {start.strip()} … {end}; put them where the table goes.")
    README.write_text(before + start + table + end + after)
