"""Many to many, unaligned: a text in, another text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from elman.data import (
    END,
    PairColumns,
    Vocabulary,
    aligned_lines,
    fit_vocabulary,
    guess_pair_columns,
    is_table,
    pad,
    pairs_of_table,
    raw_texts,
    read_pairs,
    running_texts,
    table_of,
    vocabulary_from_json,
)
from elman.diagnostics import plot_attention
from elman.nn import EncoderDecoder
from elman.train import Run

from ._inspect import LONGEST, ROWS, Sample
from ._options import check_known, check_part, check_vocabulary_size, check_whole
from ._supervised import Pairs, SupervisedEstimator, check_pairs, mean_loss
from ._translation import (
    PairBatches,
    PairLoss,
    bleu_signature,
    raw_scores,
    text_scores,
    translated,
)
from ._translation_network import check_sizes, translation_network

LEVELS = ("characters", "words", "subwords", "tokens")
ATTENTIONS = ("additive", "multiplicative", "none")


@dataclass(kw_only=True, eq=False, repr=False)
class Translator(SupervisedEstimator):
    """Writes a text for a text: translation, spelling to sounds, a word to its inflected form.

    An encoder reads the source; a decoder writes the target token by token and asks the encoder's
    outputs by attention.

    Args:
        source_level: what a token of the source is: "words", "characters", "subwords" (byte-pair
            encoding), or "tokens" (what stands between blanks).
        target_level: what a token of the target is.
        vocabulary_size: tokens of either side at most.
        min_count: times that a word or token must occur to be known.
        lowercase: whether both sides are lower-cased.
        embedding_size: features of a token.
        bidirectional: whether the encoder reads from both ends.
        encoder_size: hidden units of each direction of the encoder, of all its layers or a list
            with those of each; `hidden_size` if None. A first layer half as wide makes a step
            cheaper.
        decoder_layers: layers of the decoder; `num_layers` if None.
        attention: "additive", "multiplicative" or "none".
        upper_layers: decoder layers above the attention, which see what it found.
        tied: whether the output shares the target's embeddings; `hidden_size` must equal
            `embedding_size`.
        label_smoothing: probability that is asked for all tokens but the true one together.
        teacher_forcing: probability with which training reads the true token before rather than
            what the network told; below 1 the decoder runs step by step.
        beam: beginnings that are kept while a text is written; 1 is greedy.
        length_penalty: exponent of the length's penalty; above 0 favours longer texts.
        max_length: tokens of a text at most; twice the source's and ten more if None.
        validation_fraction: the part of the pairs that is held out; 0 for none.

    The other arguments are those of `elman.train.TrainOptions` and of the network (cell,
    hidden_size, num_layers, …).

    Attributes:
        source_vocabulary_: the tokens of the sources.
        target_vocabulary_: the tokens of the targets.
        module_: the network.
        results_: "loss" (nats a token), "accuracy" (texts without a fault), "bleu", "chrf" and
            "bleu_signature" on the held-out part.

    Reference:
        Bahdanau, Cho & Bengio 2015, https://arxiv.org/abs/1409.0473; Luong, Pham & Manning 2015,
        https://arxiv.org/abs/1508.04025.

    Example:
        >>> X, y = ["a b", "b a", "a a", "b b"] * 8, ["x y", "y x", "x x", "y y"] * 8
        >>> model = Translator(
        ...     source_level="tokens", target_level="tokens", hidden_size=16, embedding_size=16,
        ...     epochs=15, lr=0.02, batch_size=8,
        ... ).fit(X, y)
        >>> model.predict(["b a", "a a"])
        ['y x', 'x x']
    """

    task: ClassVar[str] = "translate"
    unit: ClassVar[str] = "tokens"

    cell: str = "gru"
    hidden_size: int = 256
    source_level: str = "words"
    target_level: str = "words"
    vocabulary_size: int = 10_000
    min_count: int = 1
    lowercase: bool = False
    embedding_size: int = 256
    bidirectional: bool = True
    encoder_size: int | Sequence[int] | None = None
    decoder_layers: int | None = None
    attention: str = "multiplicative"
    upper_layers: int = 0
    tied: bool = False
    label_smoothing: float = 0.0
    teacher_forcing: float = 1.0
    beam: int = 5
    length_penalty: float = 0.6
    max_length: int | None = None

    def predict(self, X: Any) -> list[str]:
        """The likeliest text for each source, given as a list of texts or a `pathlib.Path`."""
        return [texts[0][0] for texts in self.n_best(X, best=1)]

    def n_best(self, X: Any, *, best: int = 5) -> list[list[tuple[str, float]]]:
        """The `best` likeliest texts for each source, each with its log-probability.

        Raises:
            ValueError: more are asked for than `beam` keeps.
        """
        where = "Translator.predict"
        if not 1 <= best <= self.beam:
            raise ValueError(f"{where}: best={best} with beam={self.beam}; give 1 up to the beam.")
        sources = self._encoded(self._unlabelled(X, where), where)
        decode = self.target_vocabulary_.decode
        return [
            [(decode(one.tokens), one.log_probability) for one in hypotheses]
            for hypotheses in self._written(sources, best)
        ]

    def predictions(self, X: Any) -> dict[str, Any]:
        """A row for each source of a file: the source, the text, its log-probability."""
        sources = self._unlabelled(X, "Translator.predictions")
        found = [texts[0] for texts in self.n_best(sources, best=1)]
        return {
            "source": sources,
            "prediction": [text for text, _ in found],
            "log_probability": [p for _, p in found],
        }

    def evaluate(
        self, X: Any, y: Any = None, *, columns: PairColumns | None = None, raw: Any = None
    ) -> dict[str, Any]:
        """Measures the model on pairs, given as for `fit`.

        Args:
            X: the sources, or a table of pairs.
            y: the targets.
            columns: which columns of a table hold what.
            raw: the targets as they were before they were cut into tokens or lower-cased, a list
                or the `pathlib.Path` of a text file; adds "bleu_raw", sacrebleu's default BLEU of
                what is written, as running text, against them, and "bleu_raw_signature".
        """
        self._check_fitted()
        where = "Translator.evaluate"
        sources, targets, _ = self._read(X, y, columns or self.columns_, where, labelled=True)
        wanted = None if raw is None else raw_texts(raw, len(sources), where)
        return self._scored(self._encode(sources, targets, where), sources, targets, wanted)

    def score(self, X: Any, y: Any = None) -> float:
        """The part of the sources whose text is without a fault."""
        return self.evaluate(X, y)["accuracy"]

    def weights(self, source: str, target: str | None = None) -> tuple[Any, list[str], list[str]]:
        """Where the attention looked.

        Args:
            source: what is read.
            target: what is written; what the model writes if None.

        Returns:
            The weights (T, S), the tokens of the target with the end, and those of the source.

        Raises:
            ValueError: the model has no attention.
        """
        self._check_fitted()
        if self.attention == "none":
            raise ValueError("Translator.weights: attention='none'; train a model with attention.")
        where = "Translator.weights"
        target = self.predict([source])[0] if target is None else target
        pairs = self._encode([source], [target], where)
        batch = next(self._pairs(pairs).epoch(0))
        with torch.inference_mode():
            at = self.module_.read(batch[0].to(self._device), batch[1])
            found = self.module_.features(at, batch[2][:-1].to(self._device))[2]
        assert found is not None
        written = [self.target_vocabulary_.decode([int(i)]) for i in pairs.targets[0]]
        read = [self.source_vocabulary_.decode([int(i)]) for i in pairs.inputs[0]]
        return found[:, 0].cpu().numpy(), [*written, "(end)"], read

    def _check(self) -> None:
        where = "Translator"
        check_known(self, where, source_level=LEVELS, target_level=LEVELS, attention=ATTENTIONS)
        whole = ("min_count", "embedding_size", "beam")
        check_whole(self, where, whole, or_none=("decoder_layers", "max_length"))
        check_vocabulary_size(self, where)
        check_sizes(self, where)
        check_part(self, where, "label_smoothing", "teacher_forcing", whole=True)
        super()._check()

    def _read(
        self, X: Any, y: Any, columns: PairColumns | None, where: str, *, labelled: bool
    ) -> tuple[list[Any], Any, dict[str, Any]]:
        if isinstance(X, Path) and isinstance(y, Path):
            sources, targets = aligned_lines(X, y)
            return sources, targets, {"source": f"{X}, {y}"}
        columns = columns or PairColumns()
        if isinstance(X, Path) and (columns.are_numbers or not is_table(X)):
            sources, targets = read_pairs(X, columns, labelled=labelled)
            return sources, targets, {"source": str(X)}
        given = table_of(X, where) if y is None else None
        if given is not None:
            table, name = given
            chosen = guess_pair_columns(table, columns, name, labelled=labelled)
            sources, targets = pairs_of_table(table, chosen, name, labelled=labelled)
            return sources, targets, {"source": name, "chosen": chosen}
        if isinstance(X, str):
            raise TypeError(f"{where}: X is a str ({X[:30]!r}…); give a list of texts, or a Path.")
        given_texts: Any = X
        sources, targets = list(given_texts), None if y is None else list(y)
        check_pairs(sources, targets, where, labelled=labelled)
        for name, texts in (("source", sources), ("target", targets or [])):
            for row, text in enumerate(texts):
                if not isinstance(text, str) or not text.strip():
                    raise ValueError(f"{where}: {name} {row} is no text ({text!r}); give some.")
        return sources, targets, {"source": f"{len(sources)} pairs"}

    def _unlabelled(self, X: Any, where: str) -> list[str]:
        self._check_fitted()
        return self._read(X, None, self.columns_, where, labelled=False)[0]

    def _learn_from(self, inputs: list[Any], targets: Any, train: Any, where: str) -> Pairs:
        # whose attention is drawn
        self.example_ = inputs[-1]
        self.source_vocabulary_ = self._vocabulary(self.source_level, [inputs[i] for i in train])
        self.target_vocabulary_ = self._vocabulary(self.target_level, [targets[i] for i in train])
        return self._encode(inputs, targets, where)

    def _vocabulary(self, level: str, texts: Sequence[str]) -> Vocabulary:
        documents = (iter([self._cased(text)]) for text in texts)
        return fit_vocabulary(
            level, documents, max_size=self.vocabulary_size, min_count=self.min_count
        )

    def _encode(self, sources: list[str], targets: list[str], where: str) -> Pairs:
        written = [self._ids(self.target_vocabulary_, text) for text in targets]
        return Pairs(self._encoded(sources, where), written)

    def _encoded(self, sources: list[str], where: str) -> list[Any]:
        found = [self._ids(self.source_vocabulary_, text) for text in sources]
        for row, one in enumerate(found):
            if not len(one):
                raise ValueError(
                    f"{where}: source {row} ({sources[row][:30]!r}) has no tokens; take it out."
                )
        return found

    def _ids(self, vocabulary: Vocabulary, text: str) -> Any:
        return vocabulary.encode(self._cased(text)).astype(np.int64)

    def _cased(self, text: str) -> str:
        return text.lower() if self.lowercase else text

    def _network(self) -> EncoderDecoder:
        network = translation_network(
            self, len(self.source_vocabulary_), len(self.target_vocabulary_)
        )
        self._to_device(network)
        return network

    def _objective(self, network: Any, train: Pairs) -> PairLoss:
        return PairLoss(network, smoothing=self.label_smoothing, teacher=self.teacher_forcing)

    def _batches(self, train: Pairs, seed: int) -> PairBatches:
        return self._pairs(train, shuffle=True, seed=seed)

    def _pairs(self, pairs: Pairs, *, shuffle: bool = False, seed: int = 0) -> PairBatches:
        size = self.batch_size
        return PairBatches(pairs.inputs, pairs.targets, batch_size=size, seed=seed, shuffle=shuffle)

    def _measure(self, pairs: Pairs) -> dict[str, float]:
        loss = mean_loss(PairLoss(self.module_), self._pairs(pairs))
        return {"loss": loss}

    def _results(self, held_out: Pairs, known: Pairs) -> dict[str, Any]:
        found = self._scored(held_out, list(known.inputs), list(known.targets))
        return found | {"bleu_signature": bleu_signature(cut=self.target_level == "tokens")}

    def _scored(
        self, pairs: Pairs, sources: list[str], targets: list[str], raw: list[str] | None = None
    ) -> dict[str, Any]:
        decode = self.target_vocabulary_.decode
        found = [decode(one[0].tokens) for one in self._written(pairs.inputs, 1)]
        targets = [self._cased(text) for text in targets]
        cut = self.target_level == "tokens"
        figures = self._measure(pairs) | text_scores(sources, targets, found, cut=cut)
        if raw is None:
            return figures
        return figures | raw_scores(running_texts(found) if cut else found, raw)

    def _written(self, sources: Sequence[Any], best: int) -> list[Any]:
        return translated(
            self.module_,
            sources,
            batch_size=self.batch_size,
            steps=self.max_length,
            width=self.beam,
            alpha=self.length_penalty,
            best=best,
        )

    def _draw(self, folder: Path) -> None:
        if self.attention != "none":
            weights, written, read = self.weights(self.example_)
            plot_attention(weights, read, written, folder / "attention.png")

    def _sample(self, X: Any, where: str) -> Sample:
        sources, targets, _ = self._read(X, None, self.columns_, where, labelled=True)
        return self._sample_of(self._encode(sources, targets, where), None)

    def _sample_of(self, shown: Pairs, everything: Pairs | None) -> Sample:
        source, lengths = pad([one[:LONGEST] for one in shown.inputs[:ROWS]])
        target, target_lengths = pad(
            [np.concatenate([[END], one[: LONGEST - 1]]) for one in shown.targets[:ROWS]]
        )
        decode = self.source_vocabulary_.decode
        return Sample(
            lambda: self.module_(
                source.to(self._device), lengths, target.to(self._device), target_lengths
            ),
            None,
            None,
            [decode([int(one)]) for one in source[: lengths[0], 0]],
            "encoder",
        )

    def _fitted(self) -> dict[str, Any]:
        columns = None if self.columns_ is None else asdict(self.columns_)
        return {"columns": columns, "example": self.example_}

    def _write_fitted(self, run: Run) -> None:
        run.write_json("source-vocabulary.json", self.source_vocabulary_.to_json())
        run.write_json("target-vocabulary.json", self.target_vocabulary_.to_json())

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        columns = fitted["columns"]
        self.columns_ = None if columns is None else PairColumns(**columns)
        self.example_ = str(fitted["example"])
        self.source_vocabulary_, self.target_vocabulary_ = (
            vocabulary_from_json(run.read_json(f"{side}-vocabulary.json"))
            for side in ("source", "target")
        )
        self.module_ = self._network()
