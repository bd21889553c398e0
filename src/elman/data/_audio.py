"""Speech in: WAV files and feature files, and log-mel features."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SOUNDS = (".wav",)
FEATURES = (".npy", ".mfc")
_WIDTHS = {"uint8": (128.0, 128.0), "int16": (0.0, 2.0**15), "int32": (0.0, 2.0**31)}


@dataclass(frozen=True)
class LogMel:
    """Log-mel features of sound, as Kaldi computes them, one frame every `shift` milliseconds.

    Args:
        rate: samples a second; a sound at another rate is resampled. That of the first sound if
            None.
        bins: mel bands, the features of a frame.
        window: milliseconds that a frame looks at.
        shift: milliseconds from frame to frame.

    Example:
        >>> import numpy as np
        >>> LogMel(rate=8000).of(np.sin(np.arange(8000) / 10)).shape
        (98, 40)
    """

    rate: int | None = None
    bins: int = 40
    window: float = 25.0
    shift: float = 10.0

    def of(self, samples: Array) -> Array:
        """The features (T, bins) of samples from -1 to 1, (N,).

        Raises:
            ValueError: the sound is shorter than a frame.
        """
        frontend = self.frontend()
        found = np.concatenate([frontend.feed(samples), frontend.end()])
        if not len(found):
            least = round((self.rate or 0) * self.window / 1000)
            raise ValueError(
                f"the sound has {len(samples)} samples, a frame takes {least}; give a longer one."
            )
        return found

    def frontend(self) -> Frontend:
        """Makes features of a sound that comes in pieces."""
        return Frontend(self)


class Frontend:
    """Makes log-mel features of a sound that comes piece by piece.

    Raises:
        ValueError: the rate is not known.
    """

    def __init__(self, mel: LogMel) -> None:
        import kaldi_native_fbank as knf

        if mel.rate is None:
            raise ValueError("LogMel: the rate is not known; give samples a second.")
        options = knf.FbankOptions()
        options.frame_opts.samp_freq = mel.rate
        options.frame_opts.frame_length_ms = mel.window
        options.frame_opts.frame_shift_ms = mel.shift
        # the same sound always gives the same features
        options.frame_opts.dither = 0
        options.mel_opts.num_bins = mel.bins
        self._rate, self._bins, self._given = mel.rate, mel.bins, 0
        self._computer = knf.OnlineFbank(options)

    def feed(self, samples: Array) -> Array:
        """The frames (T, bins) that these samples complete."""
        # Kaldi's samples are those of 16-bit files
        scaled = (np.asarray(samples) * 32768).astype(np.float32)
        self._computer.accept_waveform(self._rate, scaled.tolist())
        return self._frames()

    def end(self) -> Array:
        """The frames that are left."""
        self._computer.input_finished()
        return self._frames()

    def _frames(self) -> Array:
        ready = self._computer.num_frames_ready
        new = [self._computer.get_frame(i) for i in range(self._given, ready)]
        self._given = ready
        return np.stack(new) if new else np.zeros((0, self._bins), np.float32)


class Resampled(UserWarning):
    """A sound had another rate than the features are made at."""


def read_wav(path: Path, rate: int | None = None) -> tuple[Array, int]:
    """The samples of a WAV file from -1 to 1, (N,), and how many the file has a second; several
    channels are averaged.

    Args:
        path: the file; integers of 8, 16, 24 or 32 bits, or floats.
        rate: samples a second to give; a file at another rate is resampled. The file's own if
            None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no WAV file, is empty, its samples are of another kind, or one is NaN or
            infinite.
    """
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        with warnings.catch_warnings():
            # chunks that hold no sound
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            found, samples = wavfile.read(path)
    except (ValueError, EOFError, struct.error) as error:
        reason = " ".join(str(error).split()) or "it is cut off"
        raise ValueError(
            f"{path}: cannot be read as WAV: {reason}; convert it, for example with"
            f" sox {path.name} -b 16 out.wav."
        ) from None
    if samples.size == 0:
        raise ValueError(f"{path}: there is no sound in it; take it out.")
    kind = samples.dtype.name
    if kind in _WIDTHS:
        middle, scale = _WIDTHS[kind]
        samples = (samples.astype(np.float64) - middle) / scale
    elif samples.dtype.kind != "f":
        raise ValueError(
            f"{path}: samples of type {kind}; give 8, 16, 24 or 32 bits, or floats, for example"
            f" with sox {path.name} -b 16 out.wav."
        )
    samples = samples.astype(np.float64)
    if not np.isfinite(samples).all():
        at = int(np.argwhere(~np.isfinite(samples))[0][0])
        raise ValueError(
            f"{path}: sample {at} is {samples[at].min()}; mend the sound, or take it out."
        )
    if samples.ndim == 2:
        samples = samples.mean(1)
    if rate is not None and found != rate:
        shared = gcd(found, rate)
        samples = resample_poly(samples, rate // shared, found // shared)
    return samples, found


def read_features(path: Path) -> Array:
    """The features (T, I) of a file: a NumPy array (.npy), or Sphinx's cepstra (.mfc).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or holds no (T, I) numbers.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file.")
    if path.suffix.lower() == ".mfc":
        return _sphinx(path)
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read as .npy: {error}.") from None
    if found.ndim != 2 or found.dtype.kind not in "fiu" or not len(found):
        raise ValueError(
            f"{path}: holds {found.dtype} of shape {found.shape}; give numbers of shape (T, I)."
        )
    return found.astype(np.float32)


# cepstra of a frame in Sphinx's files
_CEPSTRA = 13


def _sphinx(path: Path) -> Array:
    """A count of numbers, then the numbers, 13 a frame, the larger byte first."""
    content = path.read_bytes()
    count = int(np.frombuffer(content[:4], ">i4")[0]) if len(content) >= 4 else -1
    if count * 4 != len(content) - 4 or count % _CEPSTRA or count <= 0:
        raise ValueError(
            f"{path}: says it holds {count} numbers, and has room for {(len(content) - 4) // 4};"
            f" give a file of {_CEPSTRA} cepstra a frame."
        )
    return np.frombuffer(content, ">f4", offset=4).reshape(-1, _CEPSTRA).astype(np.float32)
