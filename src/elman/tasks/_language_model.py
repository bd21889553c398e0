"""Language models: the next character, word or subword, or the next notes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from elman.data import KEYS
from elman.train import Run

from ._adapting import Adaptation
from ._estimator import Estimator
from ._inspect import Sample
from ._material import Material
from ._note_material import NoteMaterial
from ._options import check_known, check_part, check_vocabulary_size, check_whole
from ._sampling import check_sampling
from ._text_material import TextMaterial

LEVELS = ("characters", "words", "tokens", "subwords", "notes")
_WHOLE_OR_NONE = ("bptt_gradient", "embedding_size", "sampled_softmax")


@dataclass(kw_only=True, eq=False, repr=False)
class LanguageModel(Estimator):
    """Learns to continue text, character by character, word by word or subword by subword; or
    music, step by step, where any of a piano's 88 keys sound together.

    For text it is trained by truncated backpropagation through time on parallel streams, whose
    state is carried from window to window and reset where a document starts; for music on whole
    pieces, and every key is told by itself, given all steps before.

    Args:
        level: what a token is: "characters", "words", "tokens" (what stands between blanks, for
            text that was cut before) or "subwords" (byte-pair encoding); with "notes" it is all the
            notes of a step, and what is meant for text is not used.
        vocabulary_size: tokens at most; for all but characters.
        lowercase: whether words and tokens are lower-cased.
        embedding_size: features of a token; `hidden_size` if None.
        tied: whether the output layer shares the embedding's weights.
        sampled_softmax: tokens that a step of the training scores, the frequent ones, its own and
            a sample of the others that stands for all (Jean et al. 2015,
            https://arxiv.org/abs/1412.2007): several times faster with a large vocabulary; None for
            all tokens. Measured is always with all.
        bptt: new steps of a window, k1.
        bptt_gradient: steps that gradients flow through, k2; k1 if None.
        transpose: semitones that a piece is moved by at most, up or down, in training; for notes.
        validation_fraction: the part at the end of the text, or of all pieces, that is held out; 0
            for none.

    The other arguments are those of `elman.train.TrainOptions` and of the network (cell,
    hidden_size, num_layers, …).

    Attributes:
        vocabulary_: the tokens of the text that was trained on, at most `vocabulary_size`; a token
            that is held out or comes later and is none of them counts as the unknown one. Data sets
            that define a closed vocabulary, as WikiText-2, have written it into their texts.
        column_: the column of the table that was learned from; None for what was no table.
        module_: the network.
        results_: on the held-out part "loss" (nats a token), "perplexity", "bits_per_character",
            and how many of the "held_out_tokens" are "unknown_tokens", which are easier to guess
            than the words they stand for; for notes "loss" (nats a step that has one before it),
            "loss_with_first" (a step), "accuracy" and "f1" of the notes that are likelier than not.

    Reference:
        Boulanger-Lewandowski et al. 2012, https://arxiv.org/abs/1206.6392 (notes).

    Example:
        >>> model = LanguageModel(hidden_size=16, epochs=1, bptt=8, batch_size=4)
        >>> model = model.fit(["to be, or not to be, that is the question. " * 20])
        >>> len(model.generate("to", length=5, seed=1))
        7
        >>> tune = [[60, 64], [62], [64, 67], []] * 8
        >>> model = LanguageModel(level="notes", hidden_size=32, batch_size=1, epochs=20, lr=0.03)
        >>> model.fit([tune] * 9).generate([[60, 64]], length=3, temperature=0)
        [[60, 64], [62], [64, 67], []]
    """

    task: ClassVar[str] = "language-model"
    unit: ClassVar[str] = "tokens"

    level: str = "characters"
    vocabulary_size: int = 10_000
    lowercase: bool = False
    embedding_size: int | None = None
    tied: bool = True
    sampled_softmax: int | None = None
    bptt: int = 64
    bptt_gradient: int | None = None
    transpose: int = 0
    validation_fraction: float = 0.1

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        run: str | Path | None = None,
        column: str | None = None,
        validation: Any = None,
        progress: bool = False,
    ) -> Self:
        """Learns from texts, or from pieces of music.

        Args:
            X: a list of texts (documents), or a `pathlib.Path` of a text file, a folder of them,
                or a table with a text column; for notes a list of pieces, each a list of steps,
                each the MIDI notes (21 to 108) that sound, or a table with a column of such lists.
            y: not used; scikit-learn passes it.
            run: a folder to keep the run in; the same call goes on with one that was cut off.
            column: the column of a table; guessed if None.
            validation: data to choose the best weights by, instead of a part of X.
            progress: whether to show a live line.

        Returns:
            The estimator.

        Raises:
            ValueError: an option, the data or the run folder does not fit.
        """
        where = "LanguageModel.fit"
        self._check()
        material = self._material
        given = material.given(X, column, where)
        self.column_ = given.column
        data, held = {"source": given.told}, None
        if validation is not None:
            held = material.given(validation, self.column_, where)
            data |= {"validation": held.told, "validation_content": material.digest(held)}
        data |= {"content": material.digest(given), "column": column}
        with self._begin(run, data) as opened:
            if opened is not None and opened.finished:
                self._reopen(opened)
                return self
            seed = self._seed()
            with tempfile.TemporaryDirectory() as scratch:
                study = material.study(given, held, Path(scratch), seed, opened)
                if opened is not None:
                    material.write(opened)
                self._learn(
                    study.objective, study.batches, study.measure, opened, progress, study.sample
                )
                self._finish(opened, study.results())
        return self

    @property
    def _material(self) -> Material:
        """How this model reads, learns and goes on."""
        return NoteMaterial(self) if self.level == "notes" else TextMaterial(self)

    def _sample(self, X: Any, where: str) -> Sample:
        return self._material.sample(self._material.given(X, self.column_, where))

    def evaluate(
        self, X: Any, *, column: str | None = None, adaptation: Adaptation | None = None
    ) -> dict[str, float]:
        """Measures the model on texts, or on pieces.

        Args:
            X: as for `fit`.
            column: the column of a table; that of the training if None.
            adaptation: what the model may learn from the text that it has read already; None for
                nothing.

        Returns:
            "loss" in nats a token, "perplexity", "bits_per_character", "held_out_tokens", and how
            many of these are "unknown_tokens"; for notes "loss", "loss_with_first", "accuracy",
            "f1" and "held_out_steps".
        """
        self._check_fitted()
        given = self._material.given(X, column or self.column_, "LanguageModel.evaluate")
        return self._material.evaluate(given, adaptation)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-likelihood of a token or step, in nats; higher is better."""
        return -self.evaluate(X)["loss"]

    def generate(
        self,
        prompt: Any = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Any:
        """Continues a text, or music.

        Args:
            prompt: how it starts: a text, or steps, each a list of MIDI notes.
            length: tokens, or steps, to add; fewer where the model ends the document.
            temperature: below 1 is more cautious, 0 always takes the likeliest token, and the notes
                that are likelier than not.
            top_k: draw only from the likeliest so many tokens; for text.
            top_p: draw only from the likeliest tokens with this probability together; for text.
            seed: the same seed gives the same text; None draws one.

        Returns:
            The prompt and its continuation: a text, or a list of steps, each a list of MIDI notes.
        """
        pieces = self.stream(
            prompt, length=length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )
        return self._material.joined(pieces)

    def stream(
        self,
        prompt: Any = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[Any]:
        """Continues piece by piece, or step by step, as `generate` does; the prompt comes first."""
        self._check_fitted()
        check_sampling("LanguageModel.generate", temperature, top_k, top_p, seed)
        yield from self._material.stream(
            prompt, length=length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )

    def _check(self) -> None:
        where = "LanguageModel"
        check_known(self, where, level=LEVELS)
        check_part(self, where, "validation_fraction")
        check_whole(self, where, ("bptt",), or_none=_WHOLE_OR_NONE)
        check_vocabulary_size(self, where)
        if self.transpose not in range(KEYS):
            raise ValueError(
                f"{where}: transpose={self.transpose!r}; give semitones, 0 up to {KEYS - 1}."
            )
        super()._check()

    def _fitted(self) -> dict[str, Any]:
        return {**self._material.fitted(), "column": self.column_}

    def _write_fitted(self, run: Run) -> None:
        self._material.write(run)

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        # runs of before know what was named
        self.column_ = fitted.get("column", run.config["data"].get("column"))
        self._material.restore(run)
        self.module_ = self._material.network()
