"""A folder whose folders are classes: texts, sounds or features, one file a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._audio import FEATURES, SOUNDS, LogMel
from ._table import suffix
from ._text import TEXTS, pieces
from ._utterances import features_of


@dataclass(frozen=True)
class Sorted:
    """The files of a folder.

    Args:
        names: of the files.
        sequences: texts, or features (T_i, I).
        labels: the folder that each file is in; None where there are none.
        mel: how features were made of sounds, with the rate.
    """

    names: list[str]
    sequences: list[Any]
    labels: list[str] | None
    mel: LogMel


def read_folders(path: Path, mel: LogMel, *, labelled: bool = True) -> Sorted:
    """Reads a folder whose folders are named as the classes of the files in them.

    Args:
        path: the folder; text files (.txt, .text, .md), sounds (.wav) or features (.npy, .mfc),
            all of one kind.
        mel: how features are made of sounds.
        labelled: whether the folders' names are read; without, files may lie anywhere below.

    Raises:
        ValueError: there are no such files, a file lies beside the folders, or the kinds are mixed.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("ham", "spam"):
        ...     (folder / name).mkdir()
        ...     _ = (folder / name / "1.txt").write_text(f"{name}?")
        >>> read_folders(folder, LogMel()).labels
        ['ham', 'spam']
    """
    known = (*TEXTS, *SOUNDS, *FEATURES)
    files = sorted(one for one in path.rglob("*") if one.is_file() and suffix(one) in known)
    if not files:
        raise ValueError(f"{path}: no sequences below this folder; it needs {', '.join(known)}.")
    labels = None
    if labelled:
        for one in files:
            if one.parent == path:
                raise ValueError(
                    f"{one}: it lies in no class's folder; give a folder whose folders are classes."
                )
        labels = [one.relative_to(path).parts[0] for one in files]
    kinds = {suffix(one) in TEXTS for one in files}
    if len(kinds) > 1:
        odd = next(one for one in files if suffix(one) in TEXTS)
        raise ValueError(f"{odd}: a text, and others are none; give files of one kind.")
    names = [str(one) for one in files]
    if kinds == {True}:
        return Sorted(names, ["".join(pieces(one)) for one in files], labels, mel)
    features, mel = features_of(files, mel)
    return Sorted(names, features, labels, mel)
