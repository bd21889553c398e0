"""Many to many, unaligned but in order: what is said?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from elman.data import (
    CharacterVocabulary,
    LogMel,
    Scaler,
    SpeechColumns,
    TokenVocabulary,
    Vocabulary,
    as_sequences,
    pad,
    read_utterances,
    vocabulary_from_json,
)
from elman.train import Run

from ._inspect import LONGEST, ROWS, Sample
from ._listening import Listening
from ._options import check_known, check_whole
from ._speech_network import BLANK, SpeechNetwork, SpokenText, Utterances, recognized
from ._supervised import Pairs, SupervisedEstimator, check_finite, check_pairs, mean_loss

LEVELS = ("characters", "words")


class Spoken(NamedTuple):
    """What is said: the ids of its symbols, (S,), and the text as it was given."""

    ids: Any
    text: str


@dataclass(kw_only=True, eq=False, repr=False)
class SpeechRecognizer(SupervisedEstimator):
    """Writes what is said in a sound: WAV files, or features of any kind that go by in time.

    Trained by connectionist temporal classification: no one has to say when a symbol is spoken.

    Args:
        level: what a symbol is: "characters" or "words".
        sample_rate: samples a second that features are made at; that of the first file if None.
        mel_bins: mel bands of a sound, its features.
        stack: frames that make one step of the network.
        bidirectional: whether the layers read from both ends; without, the model streams.
        augment: whether training hides stretches of time and bands of features.
        beam: beginnings that are kept while a text is found; 1 takes the likeliest symbol of each
            step.
        validation_fraction: the part of the utterances that is held out; 0 for none.

    The other arguments are those of `elman.train.TrainOptions` and of the network (cell,
    hidden_size, num_layers, …).

    Attributes:
        vocabulary_: the symbols.
        mel_: how features are made of sounds.
        module_: the network.
        results_: "loss" (nats a symbol), "wer" and "cer", the parts of the words and of the
            characters that would have to be mended, on the held-out part.

    Reference:
        Graves et al. 2006, "Connectionist temporal classification", ICML.

    Example:
        >>> import numpy as np
        >>> def said(text):
        ...     return np.repeat([[c == "a", c == "b", c == " "] for c in f" {text} "], 3, 0) * 1.0
        >>> y = ["ab", "ba", "a", "b", "aba"] * 8
        >>> model = SpeechRecognizer(
        ...     level="characters", hidden_size=16, epochs=30, lr=0.02, batch_size=8, stack=1
        ... ).fit([said(text) for text in y], y)
        >>> model.predict([said("ba")])
        ['ba']
    """

    task: ClassVar[str] = "recognize"
    unit: ClassVar[str] = "symbols"

    level: str = "characters"
    sample_rate: int | None = None
    mel_bins: int = 40
    stack: int = 2
    bidirectional: bool = True
    augment: bool = False
    beam: int = 1

    def predict(self, X: Any) -> list[str]:
        """The text of each utterance: features (T_i, I), or a `pathlib.Path` as for `fit`, of
        which no texts are needed, or of a single sound.
        """
        return [text for text, _ in self._texts(X, "SpeechRecognizer.predict")[1]]

    def predictions(self, X: Any) -> dict[str, Any]:
        """A row for each utterance of a file or folder: its name, the text, its log-probability."""
        names, found = self._texts(X, "SpeechRecognizer.predictions")
        return {
            "file": names,
            "prediction": [text for text, _ in found],
            "log_probability": [p for _, p in found],
        }

    def evaluate(
        self, X: Any, y: Any = None, *, columns: SpeechColumns | None = None
    ) -> dict[str, float]:
        """Measures the model on utterances with texts, given as for `fit`.

        A word that training never saw is a fault like another one; the "loss" is of the texts
        without such words, and left out where there are none.
        """
        self._check_fitted()
        where = "SpeechRecognizer.evaluate"
        features, texts, _ = self._read(X, y, columns or self.columns_, where, labelled=True)
        return self._measure(self._encode(features, texts, where))

    def score(self, X: Any, y: Any = None) -> float:
        """One less the word error rate."""
        return 1 - self.evaluate(X, y)["wer"]

    def listen(self) -> Listening:
        """Takes a sound piece by piece as it comes, and tells its text as it is said.

        Raises:
            ValueError: the layers read from both ends.

        Example:
            >>> import numpy as np
            >>> X, y = [np.eye(2)[[0, 0, 1, 1]] for _ in range(8)], ["ab"] * 8
            >>> model = SpeechRecognizer(
            ...     bidirectional=False, hidden_size=8, stack=1, epochs=60, lr=0.05
            ... ).fit(X, y)
            >>> heard = model.listen()
            >>> heard.feed(X[0][:2]) + heard.feed(X[0][2:]) + heard.end() == model.predict(X[:1])[0]
            True
        """
        self._check_fitted()
        if self.bidirectional:
            raise ValueError(
                "SpeechRecognizer.listen: bidirectional=True reads a sound from its end too; train"
                " with bidirectional=False."
            )
        return Listening(
            self.module_, self.vocabulary_.decode, self.scaler_, self.mel_, _joint(self.level)
        )

    def _check(self) -> None:
        where = "SpeechRecognizer"
        check_known(self, where, level=LEVELS)
        check_whole(self, where, ("mel_bins", "stack", "beam"), or_none=("sample_rate",))
        super()._check()

    def _read(
        self, X: Any, y: Any, columns: SpeechColumns | None, where: str, *, labelled: bool
    ) -> tuple[list[Any], Any, dict[str, Any]]:
        if isinstance(X, Path):
            read = read_utterances(X, self.mel_, columns, labelled=labelled)
            self.mel_ = read.mel
            return read.features, read.texts, {"source": str(X), "names": read.names}
        features = as_sequences(X, where)
        check_finite(features, f"{where}: utterance", 0)
        check_pairs(features, y, where, labelled=labelled)
        names = [str(row) for row in range(len(features))]
        texts = None if y is None else list(y)
        for row, text in enumerate(texts or []):
            if not isinstance(text, str):
                raise ValueError(f"{where}: y[{row}] is {text!r}, no text; give one for each.")
        return features, texts, {"source": f"{len(features)} utterances", "names": names}

    def _forget(self) -> None:
        self.mel_ = LogMel(rate=self.sample_rate, bins=self.mel_bins)

    def _texts(self, X: Any, where: str) -> tuple[list[str], list[tuple[str, float]]]:
        self._check_fitted()
        features, _, data = self._read(X, None, self.columns_, where, labelled=False)
        pairs = Pairs(self._scaled(features, where), [])
        return data["names"], self._heard(pairs)

    def _learn_from(self, inputs: list[Any], targets: Any, train: Any, where: str) -> Pairs:
        self.scaler_ = Scaler.fit([inputs[i] for i in train])
        documents = (iter([targets[i]]) for i in range(len(targets)))
        made = CharacterVocabulary if self.level == "characters" else TokenVocabulary
        self.vocabulary_: Vocabulary = made.fit(documents)
        return self._encode(inputs, targets, where)

    def _encode(self, features: list[Any], texts: list[str], where: str) -> Pairs:
        scaled, ids = self._scaled(features, where), list[Any]()
        for row, text in enumerate(texts):
            one = self.vocabulary_.encode(text).astype(np.int64)
            if len(one) == 0:
                raise ValueError(f"{where}: the text of utterance {row} is empty; take it out.")
            if self.level == "characters" and (one == BLANK).any():
                odd = text[int(np.argmax(one == BLANK))]
                raise ValueError(
                    f"{where}: the text of utterance {row} has {odd!r}, which training never saw"
                    f" ({text[:40]!r}); take it out."
                )
            # between two equal symbols there must be a blank
            needed = len(one) + int((one[1:] == one[:-1]).sum())
            steps = -(-len(scaled[row]) // self.stack)
            if steps < needed:
                raise ValueError(
                    f"{where}: utterance {row} makes {steps} steps, and its {len(one)} symbols"
                    f" ({text[:30]!r}) take {needed}; give a smaller stack, or take it out."
                )
            ids.append(Spoken(one, text if self.level == "characters" else " ".join(text.split())))
        return Pairs(scaled, ids)

    def _scaled(self, features: Sequence[Any], where: str) -> list[Any]:
        known, found = len(self.scaler_.mean), features[0].shape[1]
        if known != found:
            raise ValueError(
                f"{where}: {found} features a frame, the model was trained on {known}; give the"
                " same."
            )
        return [self.scaler_.transform(one) for one in features]

    def _network(self) -> SpeechNetwork:
        network = SpeechNetwork(
            self,
            len(self.scaler_.mean),
            len(self.vocabulary_),
            bidirectional=self.bidirectional,
            stack=self.stack,
        )
        self._to_device(network)
        return network

    def _objective(self, network: Any, train: Pairs) -> SpokenText:
        return SpokenText(network, augment=self.augment)

    def _batches(self, train: Pairs, seed: int) -> Utterances:
        return self._utterances(train, shuffle=True, seed=seed)

    def _utterances(self, pairs: Pairs, *, shuffle: bool = False, seed: int = 0) -> Utterances:
        texts, size = [one.ids for one in pairs.targets] or None, self.batch_size
        return Utterances(pairs.inputs, texts, batch_size=size, seed=seed, shuffle=shuffle)

    def _measure(self, pairs: Pairs) -> dict[str, float]:
        from jiwer import cer, wer

        # an unknown word has the blank's number, which is no symbol that a network could tell
        known = [row for row, one in enumerate(pairs.targets) if (one.ids != BLANK).all()]
        figures: dict[str, Any] = {}
        if known:
            batches = self._utterances(pairs.take(known))
            figures["loss"] = mean_loss(SpokenText(self.module_), batches)
        true = [one.text for one in pairs.targets]
        found = [text for text, _ in self._heard(pairs)]
        figures |= {"wer": wer(true, found), "cer": cer(true, found)}
        return {name: float(one) for name, one in figures.items()}

    def _heard(self, pairs: Pairs) -> list[tuple[str, float]]:
        found = recognized(self.module_, self._utterances(pairs), width=self.beam)
        return [(self.vocabulary_.decode(one), p) for one, p in found]

    def _sample(self, X: Any, where: str) -> Sample:
        features, _, _ = self._read(X, None, self.columns_, where, labelled=False)
        return self._sample_of(Pairs(self._scaled(features, where), []), None)

    def _sample_of(self, shown: Pairs, everything: Pairs | None) -> Sample:
        x, lengths = pad([one[:LONGEST] for one in shown.inputs[:ROWS]])
        return Sample(lambda: self.module_(x.to(self._device), lengths)[0])

    def _fitted(self) -> dict[str, Any]:
        return {
            "columns": None if self.columns_ is None else asdict(self.columns_),
            "mel": asdict(self.mel_),
            "scaler": self.scaler_.to_json(),
        }

    def _write_fitted(self, run: Run) -> None:
        run.write_json("vocabulary.json", self.vocabulary_.to_json())

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        columns = fitted["columns"]
        self.columns_ = None if columns is None else SpeechColumns(**columns)
        self.mel_ = LogMel(**fitted["mel"])
        self.scaler_ = Scaler.from_json(fitted["scaler"])
        self.vocabulary_ = vocabulary_from_json(run.read_json("vocabulary.json"))
        self.module_ = self._network()


def _joint(level: str) -> str:
    """What stands between two symbols."""
    return "" if level == "characters" else " "
