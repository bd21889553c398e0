"""A corpus on disk as token ids, and the windows that train a language model on it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ._vocabulary import END, Documents, Vocabulary


class TokenFile:
    """The token ids of all documents, one behind the other, each document with its end token; read
    piece by piece.

    It is read at positions and not mapped into memory, so memory does not grow with the file.

    Args:
        path: the file.
        size: tokens in the vocabulary, which decides how wide an id is.

    Example:
        >>> import tempfile, pathlib
        >>> from elman.data import CharacterVocabulary
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "tokens.bin"
        >>> vocabulary = CharacterVocabulary(["a", "b"])
        >>> tokens = TokenFile.write(path, [iter(["ab"]), iter(["a"])], vocabulary)
        >>> tokens.read(0, len(tokens)).tolist()
        [2, 3, 1, 2, 1]
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path, self._dtype = path, _dtype(size)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._count = os.fstat(self._file).st_size // self._dtype.itemsize

    @classmethod
    def write(cls, path: Path, documents: Documents, vocabulary: Vocabulary) -> TokenFile:
        """Encodes documents into a file; the name appears when the whole content is there.

        Raises:
            ValueError: there is no text.
        """
        dtype, temporary = _dtype(len(vocabulary)), path.with_name(path.name + ".writing")
        end = np.array([END], dtype=dtype).tobytes()
        count = 0
        try:
            with temporary.open("wb") as file:
                for pieces in documents:
                    for text in pieces:
                        ids = vocabulary.encode(text)
                        count += len(ids)
                        file.write(ids.astype(dtype).tobytes())
                    file.write(end)
            if count == 0:
                raise ValueError("the text has no tokens; give more text.")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return cls(path, len(vocabulary))

    def __len__(self) -> int:
        return self._count

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """The ids from `start` to `stop`."""
        width = self._dtype.itemsize
        return np.frombuffer(
            os.pread(self._file, (stop - start) * width, start * width), dtype=self._dtype
        )


def _dtype(size: int) -> np.dtype[Any]:
    return np.dtype(np.uint8 if size <= 1 << 8 else np.uint16 if size <= 1 << 16 else np.uint32)


@dataclass(frozen=True)
class Window:
    """Some steps of all streams; tensors are (context + K, B).

    Args:
        input: the tokens.
        target: the tokens that follow them.
        resets: where a token starts a document.
        context: steps at the start that the window before had too.
        next_context: steps at the end that the next window will have too.
    """

    input: Tensor
    target: Tensor
    resets: Tensor
    context: int
    next_context: int


class StreamWindows:
    """A corpus as B streams side by side, cut into windows of `bptt` steps.

    Each stream is a contiguous part of the corpus and goes on from window to window, so the state
    can be carried. Fewer than B tokens at the end of the corpus are left out.

    Args:
        tokens: the corpus.
        batch_size: streams, B; fewer for a corpus that is too short for them.
        bptt: new steps of a window, K.
        context: steps of the window before that a window repeats, at most.
        start: first token of the part to read.
        stop: the token behind it; the end of the corpus if None.

    Raises:
        ValueError: the part has fewer than two tokens.
    """

    def __init__(
        self,
        tokens: TokenFile,
        *,
        batch_size: int,
        bptt: int,
        context: int = 0,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        stop = len(tokens) if stop is None else stop
        pairs = stop - start - 1
        if pairs < 1:
            raise ValueError(
                f"{tokens.path.name}: {stop - start} tokens are too few to predict one from"
                " another; give more text."
            )
        self.tokens, self.bptt, self.context, self.start = tokens, bptt, context, start
        self.batch_size = min(batch_size, pairs)
        self.steps = pairs // self.batch_size

    def __len__(self) -> int:
        return -(-self.steps // self.bptt)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Window]:
        """The windows from the `start`-th on; every epoch has the same."""
        for k in range(start, len(self)):
            yield self._window(k * self.bptt)

    def _window(self, first: int) -> Window:
        last = min(first + self.bptt, self.steps)
        context, ahead = min(self.context, first), min(self.context, last)
        if last == self.steps:
            ahead = 0
        rows: list[npt.NDArray[Any]] = []
        for row in range(self.batch_size):
            begin = self.start + row * self.steps + first - context
            # the token before tells whether the first one starts a document
            before = self.tokens.read(begin - 1, begin) if begin else np.array([END])
            ids = self.tokens.read(begin, begin + last - first + context + 1)
            rows.append(np.concatenate([before, ids]).astype(np.int64))
        block = torch.from_numpy(np.stack(rows, 1))
        return Window(block[1:-1], block[2:], block[:-2] == END, context, ahead)
