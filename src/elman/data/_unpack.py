"""A file's bytes, unpacked."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

_CHUNK = 1 << 20


def unpacked(file: Path) -> Iterator[bytes]:
    """The content of a file in chunks of a megabyte; unpacked where its name ends in .gz.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a packed file is damaged or cut off.
    """
    is_packed = file.suffix == ".gz"
    with cast("IO[bytes]", gzip.open(file)) if is_packed else file.open("rb") as stream:
        try:
            while content := stream.read(_CHUNK):
                yield content
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{file}: the packed file is damaged or cut off ({error}); get it anew."
            ) from None
