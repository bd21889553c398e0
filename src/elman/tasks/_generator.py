"""One to many: a label or a vector starts a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from elman.data import (
    END,
    Scaler,
    StartColumns,
    Vocabulary,
    as_sequences,
    fit_vocabulary,
    guess_start_columns,
    pad,
    started_sequences,
    table_of,
    vocabulary_from_json,
)
from elman.nn import beam_search, sample_sequences
from elman.train import Run

from ._generator_network import (
    GeneratorNetwork,
    Started,
    StartedLoss,
    StartedSequences,
    drawn_numbers,
    started,
    token_step,
)
from ._inspect import LONGEST, ROWS, Sample
from ._options import check_known, check_vocabulary_size, check_whole
from ._sampling import check_sampling
from ._supervised import Pairs, SupervisedEstimator, check_finite, check_pairs, mean_loss

LEVELS = ("characters", "subwords", "tokens")
CONDITIONS = ("state", "input", "both")


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceGenerator(SupervisedEstimator):
    """Writes a sequence for a label or for a vector of numbers: a name of a language, a curve of
    some settings.

    Args:
        level: for texts, what a token is: "characters", "subwords" or "tokens" (what stands between
            blanks).
        vocabulary_size: for texts, tokens at most.
        embedding_size: for texts, features of a token.
        condition: how the label or vector comes in: as the first "state", beside the "input" of
            every step, or "both".
        beam: for texts, beginnings that `predict` keeps; 1 is greedy.
        max_length: steps of a sequence at most; one and a half times the longest known if None.
        validation_fraction: the part of the sequences that is held out; 0 for none.

    The other arguments are those of `elman.train.TrainOptions` and of the network (cell,
    hidden_size, num_layers, …).

    Attributes:
        classes_: the labels, sorted; None where vectors start the sequences.
        is_text_: whether the sequences are texts.
        module_: the network.
        results_: "loss" on the held-out part: nats a token; or the squared error of a step, in
            deviations, and the surprise of its being the last one.

    Reference:
        Vinyals et al. 2015, https://arxiv.org/abs/1411.4555 (a picture starts a sentence).

    Example:
        >>> X, y = ["up", "down"] * 20, ["abc", "cba"] * 20
        >>> model = SequenceGenerator(hidden_size=16, epochs=20, lr=0.02, batch_size=8).fit(X, y)
        >>> model.predict(["down", "up"])
        ['cba', 'abc']
    """

    task: ClassVar[str] = "generate"
    unit: ClassVar[str] = "steps"

    level: str = "characters"
    vocabulary_size: int = 4_000
    embedding_size: int = 64
    condition: str = "both"
    beam: int = 5
    max_length: int | None = None

    def predict(self, X: Any) -> list[Any]:
        """The likeliest text, or the numbers (T_i, O), for each label or vector."""
        vectors = self._given(X, "SequenceGenerator.predict")
        if not self.is_text_:
            found = drawn_numbers(self.module_, vectors, self.steps_)
            return [self.sequence_scaler_.inverse(one) for one in found]
        with torch.inference_mode():
            found = beam_search(
                token_step(self.module_),
                Started(vectors, self.module_.body.start(vectors)),
                rows=len(vectors),
                start=END,
                end=END,
                steps=self.steps_,
                width=self.beam,
            )
        return [self.vocabulary_.decode(one[0].tokens) for one in found]

    def sample(
        self,
        X: Any,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> list[str]:
        """Draws a text for each label or vector.

        Args:
            X: labels, or vectors.
            temperature: below 1 is more cautious, 0 always takes the likeliest token.
            top_k: draw only from the likeliest so many tokens.
            top_p: draw only from the likeliest tokens with this probability together.
            seed: the same seed gives the same texts; None draws one.

        Raises:
            ValueError: the sequences are numbers, which are not drawn.
        """
        vectors = self._given(X, "SequenceGenerator.sample")
        check_sampling("SequenceGenerator.sample", temperature, top_k, top_p, seed)
        if not self.is_text_:
            raise ValueError("SequenceGenerator.sample: numbers are not drawn; call predict.")
        generator = torch.Generator().manual_seed(torch.seed() % 2**31 if seed is None else seed)
        with torch.inference_mode():
            found = sample_sequences(
                token_step(self.module_),
                Started(vectors, self.module_.body.start(vectors)),
                rows=len(vectors),
                start=END,
                end=END,
                steps=self.steps_,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                generator=generator,
            )
        return [self.vocabulary_.decode(one.tokens) for one in found]

    def predictions(self, X: Any) -> dict[str, Any]:
        """A row for each label or vector of a table: the sequence."""
        starts = self._read(X, None, self.columns_, "SequenceGenerator", labelled=False)[0]
        found = [one if isinstance(one, str) else one.tolist() for one in self.predict(starts)]
        shown = [one if isinstance(one, str) else np.asarray(one).tolist() for one in starts]
        return {"start": shown, "prediction": found}

    def evaluate(
        self, X: Any, y: Any = None, *, columns: StartColumns | None = None
    ) -> dict[str, float]:
        """Measures the model on starts and their sequences, given as for `fit`."""
        self._check_fitted()
        where = "SequenceGenerator.evaluate"
        starts, sequences, _ = self._read(X, y, columns or self.columns_, where, labelled=True)
        return self._measure(self._encode(starts, sequences, where))

    def score(self, X: Any, y: Any = None) -> float:
        """The loss with a minus; higher is better."""
        return -self.evaluate(X, y)["loss"]

    def _check(self) -> None:
        where = "SequenceGenerator"
        check_known(self, where, level=LEVELS, condition=CONDITIONS)
        check_whole(self, where, ("embedding_size", "beam"), or_none=("max_length",))
        check_vocabulary_size(self, where)
        super()._check()

    def _read(
        self, X: Any, y: Any, columns: StartColumns | None, where: str, *, labelled: bool
    ) -> tuple[list[Any], Any, dict[str, Any]]:
        given = table_of(X, where) if y is None else None
        if given is not None:
            table, name = given
            chosen = guess_start_columns(table, columns or StartColumns(), name, labelled=labelled)
            starts, sequences = started_sequences(table, chosen, name, labelled=labelled)
            if sequences is not None and not isinstance(sequences[0], str):
                check_finite(sequences, f"{name}: the sequence of row", 1)
            for row, one in enumerate(sequences or [], 1):
                is_blank = isinstance(one, str) and self.level != "characters" and not one.strip()
                if not len(one) or is_blank:
                    raise ValueError(f"{name}: the sequence of row {row} is empty; drop that row.")
            return starts, sequences, {"source": name, "chosen": chosen}
        if isinstance(X, str):
            raise TypeError(f"{where}: X is a str ({X[:30]!r}…); give a list of labels.")
        starts = list(X)
        sequences = None if y is None else list(y)
        check_pairs(starts, sequences, where, labelled=labelled)
        if sequences is not None and not any(isinstance(one, str) for one in sequences):
            check_finite(as_sequences(sequences, where), f"{where}: sequence", 0)
        return starts, sequences, {"source": f"{len(starts)} sequences"}

    def _learn_from(self, inputs: list[Any], targets: Any, train: Any, where: str) -> Pairs:
        self.classes_ = None
        if all(isinstance(one, str | bool | np.str_) for one in inputs):
            self.classes_ = sorted({str(one) for one in inputs})
        else:
            self.start_scaler_ = Scaler.fit([_vectors([inputs[i] for i in train], where)])
        self.is_text_ = all(isinstance(one, str) for one in targets)
        if self.is_text_:
            self.vocabulary_ = self._vocabulary([targets[i] for i in train])
            longest = max(len(self.vocabulary_.encode(one)) for one in targets)
        else:
            arrays = as_sequences([targets[i] for i in train], where)
            self.sequence_scaler_ = Scaler.fit(arrays)
            longest = max(len(one) for one in targets)
        self.steps_ = self.max_length or round(1.5 * longest) + 1
        return self._encode(inputs, targets, where)

    def _vocabulary(self, texts: Sequence[str]) -> Vocabulary:
        documents = (iter([text]) for text in texts)
        return fit_vocabulary(self.level, documents, max_size=self.vocabulary_size)

    def _encode(self, starts: list[Any], sequences: list[Any], where: str) -> Pairs:
        vectors = self._vectors(starts, where)
        if not self.is_text_:
            arrays = as_sequences(sequences, where)
            known, found = len(self.sequence_scaler_.mean), arrays[0].shape[1]
            if known != found:
                raise ValueError(
                    f"{where}: sequences of {found} features, the model writes {known}; give the"
                    " same."
                )
            return Pairs(vectors, [self.sequence_scaler_.transform(one) for one in arrays])
        encoded: list[Any] = []
        for row, text in enumerate(sequences):
            if not isinstance(text, str):
                raise TypeError(
                    f"{where}: sequence {row} is a {type(text).__name__}, others are texts."
                )
            encoded.append(self.vocabulary_.encode(text).astype(np.int64))
            if not len(encoded[-1]):
                raise ValueError(f"{where}: sequence {row} is empty; drop it.")
        return Pairs(vectors, encoded)

    def _vectors(self, starts: list[Any], where: str) -> list[Any]:
        if self.classes_ is None:
            block = _vectors(starts, where)
            if block.shape[1] != len(self.start_scaler_.mean):
                raise ValueError(
                    f"{where}: vectors of {block.shape[1]} numbers, the model was trained on"
                    f" {len(self.start_scaler_.mean)}; give the same."
                )
            return list(self.start_scaler_.transform(block))
        index = {name: i for i, name in enumerate(self.classes_)}
        unseen = sorted({str(one) for one in starts} - set(index))
        if unseen:
            raise ValueError(
                f"{where}: the label {unseen[0]!r} was not seen in training; the labels are"
                f" {', '.join(map(repr, self.classes_))}."
            )
        one_hot = np.eye(len(index), dtype=np.float32)
        return [one_hot[index[str(one)]] for one in starts]

    def _given(self, X: Any, where: str) -> Any:
        """Starts as vectors (N, C) on the model's device."""
        self._check_fitted()
        starts = self._read(X, None, self.columns_, where, labelled=False)[0]
        return torch.from_numpy(np.stack(self._vectors(starts, where))).to(self._device)

    def _network(self) -> GeneratorNetwork:
        conditions = len(self.start_scaler_.mean) if self.classes_ is None else len(self.classes_)
        outputs = len(self.vocabulary_) if self.is_text_ else len(self.sequence_scaler_.mean)
        network = GeneratorNetwork(
            self,
            conditions,
            outputs,
            embedding_size=self.embedding_size if self.is_text_ else None,
            how=self.condition,
        )
        self._to_device(network)
        return network

    def _objective(self, network: Any, train: Pairs) -> StartedLoss:
        return StartedLoss(network)

    def _batches(self, train: Pairs, seed: int) -> StartedSequences:
        return self._sequences(train, shuffle=True, seed=seed)

    def _sequences(self, pairs: Pairs, *, shuffle: bool = False, seed: int = 0) -> StartedSequences:
        size = self.batch_size
        return StartedSequences(
            pairs.inputs, pairs.targets, batch_size=size, seed=seed, shuffle=shuffle
        )

    def _measure(self, pairs: Pairs) -> dict[str, float]:
        loss = mean_loss(StartedLoss(self.module_), self._sequences(pairs))
        return {"loss": loss}

    def _sample(self, X: Any, where: str) -> Sample:
        starts, sequences, _ = self._read(X, None, self.columns_, where, labelled=True)
        return self._sample_of(self._encode(starts, sequences, where), None)

    def _sample_of(self, shown: Pairs, everything: Pairs | None) -> Sample:
        vectors = torch.from_numpy(np.stack(shown.inputs[:ROWS]))
        x, lengths = pad([started(one[: LONGEST - 2]) for one in shown.targets[:ROWS]])
        tokens = None
        if self.is_text_:
            tokens = [self.vocabulary_.decode([int(one)]) for one in x[: lengths[0], 0]]
        return Sample(
            lambda: self.module_(vectors.to(self._device), x.to(self._device), lengths),
            tokens=tokens,
        )

    def _fitted(self) -> dict[str, Any]:
        fitted: dict[str, Any] = {
            "columns": None if self.columns_ is None else asdict(self.columns_),
            "classes": self.classes_,
            "is_text": self.is_text_,
            "steps": self.steps_,
        }
        if self.classes_ is None:
            fitted["start_scaler"] = self.start_scaler_.to_json()
        if not self.is_text_:
            fitted["sequence_scaler"] = self.sequence_scaler_.to_json()
        return fitted

    def _write_fitted(self, run: Run) -> None:
        if self.is_text_:
            run.write_json("vocabulary.json", self.vocabulary_.to_json())

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        columns = fitted["columns"]
        self.columns_ = None if columns is None else StartColumns.from_json(columns)
        self.classes_, self.steps_ = fitted["classes"], int(fitted["steps"])
        self.is_text_ = bool(fitted["is_text"])
        if self.classes_ is None:
            self.start_scaler_ = Scaler.from_json(fitted["start_scaler"])
        if self.is_text_:
            self.vocabulary_ = vocabulary_from_json(run.read_json("vocabulary.json"))
        else:
            self.sequence_scaler_ = Scaler.from_json(fitted["sequence_scaler"])
        self.module_ = self._network()


def _vectors(starts: list[Any], where: str) -> Any:
    """Vectors (N, C) of numbers.

    Raises:
        ValueError: they are no vectors of one length, or a number is not finite.
    """
    try:
        block = np.asarray(starts, dtype=np.float64)
    except (ValueError, TypeError):
        raise ValueError(
            f"{where}: X holds neither labels alone nor vectors of one length; give either."
        ) from None
    block = block[:, None] if block.ndim == 1 else block
    if block.ndim != 2 or not np.isfinite(block).all():
        raise ValueError(f"{where}: X of shape {block.shape}; give finite numbers (N, C).")
    return block
