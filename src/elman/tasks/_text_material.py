"""A language model of texts: a stream of tokens, windows of it, and what comes next."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from elman.data import (
    END,
    UNKNOWN,
    StreamWindows,
    TokenFile,
    Vocabulary,
    documents,
    fingerprint,
    first_part,
    fit_vocabulary,
    is_table,
    read_table,
    text_column,
    vocabulary_from_json,
)
from elman.diagnostics import need_of_tokens
from elman.nn import draw
from elman.train import Run, pick_device

from ._adapting import Adaptation, adapted_surprise
from ._inspect import LONGEST, Sample
from ._language_network import LanguageNetwork, NextToken, surprise
from ._material import Given, Material, Study

# streams to look at, tokens that are asked how far back they matter, and fewer of them tell nothing
_STREAMS, _ASKED, _FEW = 8, 50_000, 1000
_VOCABULARY = "vocabulary.json"


@dataclass(frozen=True)
class _Part:
    """The text that is held out: the tokens from the first one on; and where training ends."""

    tokens: TokenFile
    first: int
    cut: int


class TextMaterial(Material):
    """Texts, by characters, words, tokens or subwords."""

    def given(self, X: Any, column: str | None, where: str) -> Given:
        """A path, with the column of a table, or a list of texts."""
        if isinstance(X, str):
            raise TypeError(
                f"LanguageModel: X is a str ({X[:30]!r}…); give a list of texts,"
                " or a pathlib.Path of a file."
            )
        if not isinstance(X, Path):
            texts = list(X)
            return Given(texts, f"{len(texts)} texts")
        if not X.exists():
            raise FileNotFoundError(f"{X}: no such file or folder.")
        if not is_table(X):
            return Given(X, str(X))
        return Given(X, str(X), column or text_column(read_table(X), str(X)))

    def digest(self, given: Given) -> str:
        """Of the texts, or of the files' bytes."""
        return fingerprint(given.content)

    def study(
        self, given: Given, held: Given | None, scratch: Path, seed: int, run: Run | None
    ) -> Study:
        """Learns the vocabulary, and writes the tokens on the disk."""
        model = self.model
        if run is not None and (run.path / _VOCABULARY).is_file():
            # a training that was cut off goes on with its own
            self.restore(run)
        else:
            model.vocabulary_ = self._vocabulary(given, held)
        tokens = self._tokens(given, scratch / "text")
        part = self._part(tokens, held, scratch / "validation")
        train, validated = self._windows(tokens, part)
        network, k2 = self.network(), model.bptt_gradient
        objective = NextToken(network, k2 if k2 is not None and k2 < model.bptt else None)

        def results() -> dict[str, Any]:
            told: dict[str, Any] = {"tokens": len(tokens), "vocabulary": len(model.vocabulary_)}
            if validated is not None:
                loss, count = surprise(network, validated)
                # streams of one length leave some tokens at the end out
                start = part.first + 1
                told |= self._figures(loss, count, part.tokens, start, start + count)
            return told

        return Study(
            objective,
            train,
            None if validated is None else lambda: _losses(surprise(network, validated)[0]),
            lambda asks: self._sample(part.tokens, part.first, asks=asks),
            results,
        )

    def _vocabulary(self, given: Given, held: Given | None) -> Vocabulary:
        """The tokens of the text that is trained on; others are unknown where they are met."""
        model, texts = self.model, partial(_texts, given)
        is_all = held is not None or not model.validation_fraction
        return fit_vocabulary(
            model.level,
            texts() if is_all else first_part(model.level, texts, self._trained),
            max_size=model.vocabulary_size,
            lowercase=model.lowercase,
        )

    def _trained(self, tokens: int) -> int:
        """How many of all tokens are trained on; those behind are held out."""
        return tokens - round(tokens * self.model.validation_fraction)

    def _tokens(self, given: Given, path: Path) -> TokenFile:
        return TokenFile.write(path, _texts(given), self.model.vocabulary_)

    def _part(self, tokens: TokenFile, held: Given | None, path: Path) -> _Part:
        """The text that is held out: the end of the tokens, or another text."""
        if held is not None:
            return _Part(self._tokens(held, path), 0, len(tokens))
        cut = self._trained(len(tokens))
        # from its first token on, given the one before
        return _Part(tokens, cut - 1 if cut < len(tokens) else 0, cut)

    def _windows(
        self, tokens: TokenFile, part: _Part
    ) -> tuple[StreamWindows, StreamWindows | None]:
        """The windows to train on, and those of the held-out part."""
        k1, k2 = self.model.bptt, self.model.bptt_gradient or self.model.bptt
        context, rows = max(k2 - k1, 0), self.model.batch_size
        train = StreamWindows(tokens, batch_size=rows, bptt=k1, context=context, stop=part.cut)
        if part.tokens is tokens and part.cut == len(tokens):
            return train, None
        return train, StreamWindows(part.tokens, batch_size=rows, bptt=k1, start=part.first)

    def network(self) -> LanguageNetwork:
        """The network, with fresh weights, on its device."""
        model = self.model
        size = model.embedding_size or model.hidden_size
        network = LanguageNetwork(
            model,
            len(model.vocabulary_),
            size,
            tied=model.tied,
            candidates=model.sampled_softmax,
        )
        network.to(pick_device(model.device))
        return network

    def _figures(
        self, loss: float, count: int, tokens: TokenFile, start: int, stop: int
    ) -> dict[str, Any]:
        """The loss in all units, of the tokens from `start` up to `stop`."""
        step, characters, unknown = 1 << 16, 0, 0
        for i in range(start, stop, step):
            part = tokens.read(i, min(i + step, stop))
            characters += len(self.model.vocabulary_.decode(part))
            unknown += int((part == UNKNOWN).sum())
        return {
            **_losses(loss),
            "bits_per_character": loss * count / math.log(2) / max(characters, 1),
            "held_out_tokens": count,
            "unknown_tokens": unknown,
        }

    def evaluate(self, given: Given, adaptation: Adaptation | None) -> dict[str, float]:
        """The loss in all units."""
        model = self.model
        with tempfile.TemporaryDirectory() as scratch:
            tokens = self._tokens(given, Path(scratch) / "text")
            if adaptation is None:
                windows = StreamWindows(tokens, batch_size=1, bptt=max(model.bptt, 256))
                loss, count = surprise(model.module_, windows)
            else:
                windows = StreamWindows(tokens, batch_size=1, bptt=model.bptt)
                loss, count = adapted_surprise(model.module_, windows, adaptation)
            return self._figures(loss, count, tokens, 0, len(tokens))

    def sample(self, given: Given) -> Sample:
        """Streams from the start of the text."""
        with tempfile.TemporaryDirectory() as scratch:
            tokens = self._tokens(given, Path(scratch) / "text")
            return self._sample(tokens, 0, asks=True)

    def _sample(self, tokens: TokenFile, start: int, *, asks: bool) -> Sample:
        """Streams of a text from a token on, four times as long as the window."""
        model = self.model
        window = model.bptt_gradient or model.bptt
        ids = tokens.read(start, min(len(tokens), start + _ASKED)).astype("int64")
        steps = max(min(4 * window, LONGEST, len(ids) // 2), 1)
        rows = max(min(_STREAMS, len(ids) // steps), 1)
        x = torch.from_numpy(ids[: rows * steps].reshape(rows, steps).T.copy())
        found = None
        if asks and len(ids) > _FEW:
            found = need_of_tokens(
                ids[:-1, None], ids[1:, None], most=min(8 * window, len(ids) // 4)
            )
        module = model.module_
        return Sample(
            lambda: module.scores(module.features(x.to(self.device), None, resets=None)[0]),
            found,
            window,
            [model.vocabulary_.decode([int(one)]) for one in x[:, 0]],
        )

    def stream(
        self, prompt: Any, *, length: int, temperature: float, top_k: Any, top_p: Any, seed: Any
    ) -> Iterator[str]:
        """The prompt, and the text that goes on from it."""
        module, vocabulary = self.model.module_, self.model.vocabulary_
        generator = torch.Generator().manual_seed(torch.seed() % 2**31 if seed is None else seed)
        ids = [int(i) for i in vocabulary.encode(prompt)]
        yield prompt
        shown, added = vocabulary.decode(ids), list(ids)
        # a document starts after an end
        feed, hx = [END, *ids], None
        with torch.inference_mode():
            for _ in range(length):
                tokens = torch.tensor(feed, device=self.device)[:, None]
                features, hx = module.features(tokens, hx, resets=None)
                scores = module.scores(features[-1]).float().cpu()
                scores[:, UNKNOWN] = -torch.inf
                drawn = draw(
                    scores, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator
                )
                token = int(drawn)
                if token == END:
                    return
                added.append(token)
                feed = [token]
                text = vocabulary.decode(added)
                # a character of several bytes may still lack some
                if not text.endswith("�"):
                    yield text[len(shown) :]
                    shown = text

    def joined(self, pieces: Iterator[str]) -> str:
        """The text."""
        return "".join(pieces)

    def fitted(self) -> dict[str, Any]:
        """The size of the vocabulary."""
        return {"tokens": len(self.model.vocabulary_)}

    def write(self, run: Run) -> None:
        """Writes the vocabulary."""
        run.write_json(_VOCABULARY, self.model.vocabulary_.to_json())

    def restore(self, run: Run) -> None:
        """Reads the vocabulary."""
        self.model.vocabulary_ = vocabulary_from_json(run.read_json(_VOCABULARY))


def _texts(given: Given) -> Iterator[Iterator[str]]:
    return documents(given.content, column_name=given.column)


def _losses(loss: float) -> dict[str, float]:
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
