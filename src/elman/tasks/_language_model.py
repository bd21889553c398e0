"""Language models: the next character, word or subword."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from elman.data import (
    END,
    UNKNOWN,
    CharacterVocabulary,
    StreamWindows,
    SubwordVocabulary,
    TokenFile,
    Vocabulary,
    WordVocabulary,
    documents,
    fingerprint,
    vocabulary_from_json,
)
from elman.diagnostics import need_of_tokens
from elman.nn import draw
from elman.train import Run

from ._adapting import Adaptation, adapted_surprise
from ._estimator import Estimator
from ._inspect import LONGEST, Sample
from ._language_network import LanguageNetwork, NextToken, surprise
from ._sampling import check_sampling

Texts = str | Path | Iterable[str]
LEVELS = ("characters", "words", "subwords")
# streams to look at, tokens that are asked how far back they matter, and fewer of them tell nothing
_STREAMS, _ASKED, _FEW = 8, 50_000, 1000


@dataclass(kw_only=True, eq=False, repr=False)
class LanguageModel(Estimator):
    """Learns to continue text, character by character, word by word or subword by subword.

    Trained by truncated backpropagation through time on parallel streams, whose state is carried
    from window to window and reset where a document starts.

    Args:
        level: what a token is: "characters", "words" or "subwords" (byte-pair encoding).
        vocabulary_size: tokens at most; for words and subwords.
        lowercase: whether words are lower-cased.
        embedding_size: features of a token; `hidden_size` if None.
        tied: whether the output layer shares the embedding's weights.
        bptt: new steps of a window, k1.
        bptt_gradient: steps that gradients flow through, k2; k1 if None.
        validation_fraction: the part at the end of the text that is held out; 0 for none.

    The other arguments are those of `elman.train.TrainOptions` and of the network (cell,
    hidden_size, num_layers, …).

    Attributes:
        vocabulary_: the tokens.
        module_: the network.
        results_: "loss" (nats a token), "perplexity", "bits_per_character" on the held-out part.

    Example:
        >>> model = LanguageModel(hidden_size=16, epochs=1, bptt=8, batch_size=4)
        >>> model = model.fit(["to be, or not to be, that is the question. " * 20])
        >>> len(model.generate("to", length=5, seed=1))
        7
    """

    task: ClassVar[str] = "language-model"
    unit: ClassVar[str] = "tokens"

    level: str = "characters"
    vocabulary_size: int = 10_000
    lowercase: bool = False
    embedding_size: int | None = None
    tied: bool = True
    bptt: int = 64
    bptt_gradient: int | None = None
    validation_fraction: float = 0.1

    def fit(
        self,
        X: Texts,
        y: Any = None,
        *,
        run: str | Path | None = None,
        column: str | None = None,
        validation: Texts | None = None,
        progress: bool = False,
    ) -> Self:
        """Learns from texts.

        Args:
            X: a list of texts (documents), or a `pathlib.Path` of a text file, a folder of them,
                or a table with a text column.
            y: not used; scikit-learn passes it.
            run: a folder to keep the run in; the same call goes on with one that was cut off.
            column: the text column of a table; guessed if None.
            validation: texts to choose the best weights by, instead of the end of X.
            progress: whether to show a live line.

        Returns:
            The estimator.

        Raises:
            ValueError: an option, the text or the run folder does not fit.
        """
        self._check()
        source = _source(X)
        other = None if validation is None else _source(validation)
        data = {"source": _told(source)}
        if other is not None:
            data |= {"validation": _told(other)}
        opened = self._begin(run, {**data, "content": fingerprint(source), "column": column})
        if opened is not None and opened.finished:
            self._reopen(opened)
            return self
        self._seed()
        with tempfile.TemporaryDirectory() as scratch:
            with self._preparing(opened):
                self.vocabulary_ = self._vocabulary(source, column)
                texts = documents(source, column_name=column)
                tokens = TokenFile.write(Path(scratch) / "text", texts, self.vocabulary_)
                part = self._part(tokens, other, column, Path(scratch) / "validation")
                train, validated = self._windows(tokens, part)
                self._write_vocabulary(opened)
            self._fit_windows(
                train,
                validated,
                opened,
                progress,
                lambda asks: self._sample_of(part.tokens, part.first, asks=asks),
            )
            results: dict[str, Any] = {"tokens": len(tokens), "vocabulary": len(self.vocabulary_)}
            if validated is not None:
                loss, count = surprise(self.module_, validated)
                characters = self._characters(part.tokens, part.first + 1, len(part.tokens))
                results |= self._results(loss, count, characters)
            self._finish(opened, results)
        return self

    def _part(
        self, tokens: TokenFile, other: Path | list[str] | None, column: str | None, path: Path
    ) -> _Part:
        """The text that is held out: the end of the tokens, or another text."""
        if other is not None:
            texts = documents(other, column_name=column)
            return _Part(TokenFile.write(path, texts, self.vocabulary_), 0, len(tokens))
        cut = len(tokens) - round(len(tokens) * self.validation_fraction)
        # from its first token on, given the one before
        return _Part(tokens, cut - 1 if cut < len(tokens) else 0, cut)

    def _windows(
        self, tokens: TokenFile, part: _Part
    ) -> tuple[StreamWindows, StreamWindows | None]:
        """The windows to train on, and those of the held-out part."""
        k1, k2 = self.bptt, self.bptt_gradient or self.bptt
        context = max(k2 - k1, 0)
        rows = self.batch_size
        train = StreamWindows(tokens, batch_size=rows, bptt=k1, context=context, stop=part.cut)
        if part.tokens is tokens and part.cut == len(tokens):
            return train, None
        return train, StreamWindows(part.tokens, batch_size=rows, bptt=k1, start=part.first)

    def _fit_windows(
        self,
        train: StreamWindows,
        validation: StreamWindows | None,
        run: Run | None,
        progress: bool,
        sample: Callable[[bool], Sample],
    ) -> None:
        network, k2 = self._network(), self.bptt_gradient
        objective = NextToken(network, k2 if k2 is not None and k2 < self.bptt else None)
        evaluate = None
        if validation is not None:
            held = validation

            def measure() -> dict[str, float]:
                return _figures(surprise(network, held)[0])

            evaluate = measure
        self._learn(objective, train, evaluate, run, progress, sample)

    def _sample(self, X: Texts, where: str) -> Sample:
        with tempfile.TemporaryDirectory() as scratch:
            texts = documents(_source(X))
            tokens = TokenFile.write(Path(scratch) / "text", texts, self.vocabulary_)
            return self._sample_of(tokens, 0, asks=True)

    def _sample_of(self, tokens: TokenFile, start: int, *, asks: bool) -> Sample:
        """Streams of a text from a token on, four times as long as the window."""
        window = self.bptt_gradient or self.bptt
        ids = tokens.read(start, min(len(tokens), start + _ASKED)).astype("int64")
        steps = max(min(4 * window, LONGEST, len(ids) // 2), 1)
        rows = max(min(_STREAMS, len(ids) // steps), 1)
        x = torch.from_numpy(ids[: rows * steps].reshape(rows, steps).T.copy())
        found = None
        if asks and len(ids) > _FEW:
            found = need_of_tokens(
                ids[:-1, None], ids[1:, None], most=min(8 * window, len(ids) // 4)
            )
        module = self.module_
        return Sample(
            lambda: module.scores(module.features(x.to(self._device), None, resets=None)[0]),
            found,
            window,
            [self.vocabulary_.decode([int(one)]) for one in x[:, 0]],
        )

    def _network(self) -> LanguageNetwork:
        size = self.embedding_size or self.hidden_size
        network = LanguageNetwork(self, len(self.vocabulary_), size, tied=self.tied)
        self._to_device(network)
        return network

    def _vocabulary(self, source: Path | list[str], column: str | None) -> Vocabulary:
        texts = documents(source, column_name=column)
        if self.level == "characters":
            return CharacterVocabulary.fit(texts)
        if self.level == "words":
            return WordVocabulary.fit(
                texts, max_size=self.vocabulary_size, lowercase=self.lowercase
            )
        return SubwordVocabulary.fit(texts, max_size=self.vocabulary_size)

    def _characters(self, tokens: TokenFile, start: int, stop: int) -> int:
        """Characters that a part of the tokens stands for."""
        step = 1 << 16
        parts = (tokens.read(i, min(i + step, stop)) for i in range(start, stop, step))
        return sum(len(self.vocabulary_.decode(part)) for part in parts)

    def _results(self, loss: float, count: int, characters: int) -> dict[str, Any]:
        bits = loss * count / math.log(2) / max(characters, 1)
        return {**_figures(loss), "bits_per_character": bits, "held_out_tokens": count}

    def evaluate(
        self, X: Texts, *, column: str | None = None, adaptation: Adaptation | None = None
    ) -> dict[str, float]:
        """Measures the model on texts.

        Args:
            X: as for `fit`.
            column: as for `fit`.
            adaptation: what the model may learn from the text that it has read already; None for
                nothing.

        Returns:
            "loss" in nats a token, "perplexity", "bits_per_character", and "held_out_tokens".
        """
        self._check_fitted()
        source = _source(X)
        with tempfile.TemporaryDirectory() as scratch:
            texts = documents(source, column_name=column)
            tokens = TokenFile.write(Path(scratch) / "text", texts, self.vocabulary_)
            if adaptation is None:
                windows = StreamWindows(tokens, batch_size=1, bptt=max(self.bptt, 256))
                loss, count = surprise(self.module_, windows)
            else:
                windows = StreamWindows(tokens, batch_size=1, bptt=self.bptt)
                loss, count = adapted_surprise(self.module_, windows, adaptation)
            return self._results(loss, count, self._characters(tokens, 0, len(tokens)))

    def score(self, X: Texts, y: Any = None) -> float:
        """The mean log-likelihood of a token, in nats; higher is better."""
        return -self.evaluate(X)["loss"]

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> str:
        """Continues a text.

        Args:
            prompt: how it starts.
            length: tokens to add; fewer where the model ends the document.
            temperature: below 1 is more cautious, 0 always takes the likeliest token.
            top_k: draw only from the likeliest so many tokens.
            top_p: draw only from the likeliest tokens with this probability together.
            seed: the same seed gives the same text; None draws one.

        Returns:
            The prompt and its continuation.
        """
        pieces = self.stream(
            prompt, length=length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )
        return "".join(pieces)

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Continues a text piece by piece, as `generate` does; the first piece is the prompt."""
        self._check_fitted()
        check_sampling("LanguageModel.generate", temperature, top_k, top_p)
        generator = torch.Generator().manual_seed(torch.seed() % 2**31 if seed is None else seed)
        ids = [int(i) for i in self.vocabulary_.encode(prompt)]
        yield prompt
        shown, added = self.vocabulary_.decode(ids), list(ids)
        # a document starts after an end
        feed, hx = [END, *ids], None
        with torch.inference_mode():
            for _ in range(length):
                tokens = torch.tensor(feed, device=self._device)[:, None]
                features, hx = self.module_.features(tokens, hx, resets=None)
                scores = self.module_.scores(features[-1]).float().cpu()
                scores[:, UNKNOWN] = -torch.inf
                drawn = draw(
                    scores, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator
                )
                token = int(drawn)
                if token == END:
                    return
                added.append(token)
                feed = [token]
                text = self.vocabulary_.decode(added)
                # a character of several bytes may still lack some
                if not text.endswith("�"):
                    yield text[len(shown) :]
                    shown = text

    def _check(self) -> None:
        where = "LanguageModel"
        if self.level not in LEVELS:
            raise ValueError(
                f"{where}: level={self.level!r} is not known; give one of {', '.join(LEVELS)}."
            )
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"{where}: validation_fraction={self.validation_fraction}; give 0 up to below 1."
            )
        for name in ("bptt", "vocabulary_size", "bptt_gradient", "embedding_size"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{where}: {name}={value!r}; give a whole number above zero.")

    def _fitted(self) -> dict[str, Any]:
        return {"tokens": len(self.vocabulary_)}

    def _write_vocabulary(self, run: Run | None) -> None:
        if run is not None:
            run.write_json("vocabulary.json", self.vocabulary_.to_json())

    def _write_fitted(self, run: Run) -> None:
        self._write_vocabulary(run)

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        self.vocabulary_ = vocabulary_from_json(run.read_json("vocabulary.json"))
        self.module_ = self._network()


def _figures(loss: float) -> dict[str, float]:
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}


@dataclass(frozen=True)
class _Part:
    """The text that is held out: the tokens from the first one on; and where training ends."""

    tokens: TokenFile
    first: int
    cut: int


def _told(source: Path | list[str]) -> str:
    if isinstance(source, Path) and not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder.")
    return str(source) if isinstance(source, Path) else f"{len(source)} texts"


def _source(X: Texts) -> Path | list[str]:
    if isinstance(X, str):
        raise TypeError(
            f"LanguageModel: X is a str ({X[:30]!r}…); give a list of texts,"
            " or a pathlib.Path of a file."
        )
    return X if isinstance(X, Path) else list(X)
