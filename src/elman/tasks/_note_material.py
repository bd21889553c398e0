"""A language model of music: whole pieces, and which keys sound at the next step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elman.data import keys_of, notes_column, notes_of, pad, read_pieces, table_of
from elman.train import Run, pick_device

from ._adapting import Adaptation
from ._inspect import LONGEST, ROWS, Sample
from ._material import Given, Material, Study
from ._note_network import NextNotes, NoteNetwork, Pieces, after_silence, figures_of


class NoteMaterial(Material):
    """Pieces of music, by the keys that sound at each step."""

    def given(self, X: Any, column: str | None, where: str) -> Given:
        """The pieces."""
        if (table := table_of(X, where)) is None:
            column = None
        elif column is None:
            column = notes_column(*table)
        pieces = read_pieces(X, where, column_name=column)
        return Given(pieces, str(X) if isinstance(X, Path) else f"{len(pieces)} pieces", column)

    def digest(self, given: Given) -> str:
        """Of the keys."""
        digest = hashlib.sha256()
        for piece in given.content:
            digest.update(np.packbits(piece > 0).tobytes() + b"\0")
        return digest.hexdigest()[:16]

    def study(
        self, given: Given, held: Given | None, scratch: Path, seed: int, run: Run | None
    ) -> Study:
        """Holds pieces out, and makes batches of the others."""
        model = self.model
        if held is None:
            taught, held_out = self._split(given.content, seed)
        else:
            taught, held_out = given.content, held.content
        batches = Pieces(taught, batch_size=model.batch_size, transpose=model.transpose, seed=seed)
        network = self.network()

        def measure() -> dict[str, float]:
            return figures_of(network, held_out, model.batch_size)

        def results() -> dict[str, Any]:
            told = {"pieces": len(given.content), "steps": sum(len(one) for one in given.content)}
            return {**told, **(measure() if held_out else {})}

        shown = held_out or taught
        return Study(
            NextNotes(network),
            batches,
            measure if held_out else None,
            lambda asks: self._sample(shown),
            results,
        )

    def _split(self, pieces: list[Any], seed: int) -> tuple[list[Any], list[Any]]:
        """Pieces to train on, one at least, and to hold out."""
        order = np.random.default_rng(seed).permutation(len(pieces))
        held = min(round(len(pieces) * self.model.validation_fraction), len(pieces) - 1)
        return [pieces[i] for i in np.sort(order[held:])], [pieces[i] for i in order[:held]]

    def network(self) -> NoteNetwork:
        """The network, with fresh weights, on its device."""
        network = NoteNetwork(self.model)
        network.to(pick_device(self.model.device))
        return network

    def evaluate(self, given: Given, adaptation: Adaptation | None) -> dict[str, float]:
        """The surprise of a step, and how well single notes are told."""
        if adaptation is not None:
            raise ValueError(
                "LanguageModel.evaluate: adaptation (--cache, --dynamic) is for texts, not for"
                " music; leave it out."
            )
        return figures_of(self.model.module_, given.content, self.model.batch_size)

    def sample(self, given: Given) -> Sample:
        """The first pieces."""
        return self._sample(given.content)

    def _sample(self, pieces: list[Any]) -> Sample:
        x, lengths = pad([one[:LONGEST] for one in pieces[:ROWS]])
        return Sample(lambda: self.model.module_(x.to(self.device), lengths=lengths)[0])

    def stream(
        self, prompt: Any, *, length: int, temperature: float, top_k: Any, top_p: Any, seed: Any
    ) -> Iterator[list[int]]:
        """The steps of the prompt, and those that go on from it."""
        where = "LanguageModel.generate"
        for name, value in (("top_k", top_k), ("top_p", top_p)):
            if value is not None:
                raise ValueError(
                    f"{where}: {name}={value} chooses one token of many, and every key sounds or"
                    " not by itself; leave it out."
                )
        # as a text, nothing is an empty one
        keys = keys_of(
            [] if isinstance(prompt, str) and not prompt else prompt, f"{where}: the prompt"
        )
        yield from notes_of(keys)
        generator = torch.Generator().manual_seed(torch.seed() % 2**31 if seed is None else seed)
        # a piece starts after silence
        feed = torch.from_numpy(after_silence(keys))
        hx = None
        with torch.inference_mode():
            for _ in range(length):
                scores, hx = self.model.module_(feed[:, None].to(self.device), hx)
                feed = _drawn(scores[-1].float().cpu(), temperature, generator)
                yield notes_of(feed)[0]

    def joined(self, pieces: Iterator[list[int]]) -> list[list[int]]:
        """The steps."""
        return list(pieces)

    def fitted(self) -> dict[str, Any]:
        """Nothing: a piano's keys are known."""
        return {}

    def write(self, run: Run) -> None:
        """Writes nothing."""

    def restore(self, run: Run) -> None:
        """Reads nothing."""


def _drawn(scores: Any, temperature: float, generator: torch.Generator) -> Any:
    """Which keys sound (1, 88), each drawn by itself; at temperature 0 those likelier than not."""
    if temperature == 0:
        return (scores > 0).float()
    chances = torch.sigmoid(scores / temperature)
    return (torch.rand(scores.shape, generator=generator) < chances).float()
