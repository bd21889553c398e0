"""A recognizer that listens while someone speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from elman.data import LogMel, Scaler

from ._speech_network import BLANK, SpeechNetwork


class Listening:
    """Takes a sound in pieces of any length and tells what was said in each; all pieces together
    give what `predict` gives with a beam of 1.

    Args:
        module: the network, of one direction.
        decode: the text of symbols.
        scaler: of the features.
        mel: how features are made of samples.
        joint: what stands between two symbols.
    """

    def __init__(
        self,
        module: SpeechNetwork,
        decode: Callable[[Sequence[int]], str],
        scaler: Scaler,
        mel: LogMel,
        joint: str,
    ) -> None:
        self._module, self._decode, self._scaler, self._joint = module, decode, scaler, joint
        self._frames: Any = np.zeros((0, len(scaler.mean)), np.float32)
        self._mel = mel
        self._frontend: Any = None
        self._hx: Any = None
        self._last, self._any = BLANK, False

    def feed(self, piece: Any) -> str:
        """The text that this piece adds.

        Args:
            piece: samples from -1 to 1 at the model's rate, (N,), or features, (T, I).

        Raises:
            ValueError: the features are not those of the model.
        """
        piece = np.asarray(piece, dtype=np.float64)
        if piece.ndim == 1:
            self._frontend = self._frontend or self._mel.frontend()
            piece = self._frontend.feed(piece.astype(np.float32))
        known = len(self._scaler.mean)
        if piece.ndim != 2 or piece.shape[1] != known:
            raise ValueError(
                f"Listening.feed: a piece of shape {piece.shape}; give samples (N,), or features"
                f" (T, {known})."
            )
        self._frames = np.concatenate([self._frames, self._scaler.transform(piece)])
        stack = self._module.stack
        whole = len(self._frames) // stack * stack
        now, self._frames = self._frames[:whole], self._frames[whole:]
        return self._told(now)

    def end(self) -> str:
        """The text of what is left when no more comes; a new sound may follow."""
        if self._frontend is not None:
            rest = self._frontend.end()
            self._frames = np.concatenate([self._frames, self._scaler.transform(rest)])
        text = self._told(self._frames)
        self._frames, self._frontend = self._frames[:0], None
        self._hx, self._last, self._any = None, BLANK, False
        return text

    def _told(self, frames: Any) -> str:
        if not len(frames):
            return ""
        x = torch.from_numpy(frames)[:, None].to(self._module.body.head.weight.device)
        with torch.inference_mode():
            log_p, self._hx = self._module(x, torch.tensor([len(frames)]), self._hx)
        added: list[int] = []
        for symbol in log_p[:, 0].argmax(-1).tolist():
            if symbol not in (BLANK, self._last):
                added.append(symbol)
            self._last = symbol
        if not added:
            return ""
        text = self._decode(added)
        text, self._any = (self._joint if self._any else "") + text, True
        return text
