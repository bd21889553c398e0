"""Public data sets that the readers know; none of them comes with this package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from ._unpack import unpacked


@dataclass(frozen=True)
class Dataset:
    """A public data set.

    Args:
        name: what it is called.
        task: what it is for.
        licence: its terms.
        megabytes: unpacked.
        source: where it comes from.
        command: how it is trained on.
        files: the SHA-256 of each file, unpacked.
    """

    name: str
    task: str
    licence: str
    megabytes: float
    source: str
    command: str
    files: dict[str, str] = field(repr=False)


_EWT, _TEST = "en_ewt-ud", "test_2016_flickr.lc.norm.tok"

DATASETS: dict[str, Dataset] = {
    one.name: one
    for one in (
        Dataset(
            "ett",
            "forecast",
            "CC BY-ND 4.0",
            2.6,
            "github.com/zhouhaoyi/ETDataset",
            "elman train forecast ETTh1.csv --target-column OT --out RUN",
            {"ETTh1.csv": "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066"},
        ),
        Dataset(
            "japanese-vowels",
            "classify",
            "research use",
            1.1,
            "timeseriesclassification.com",
            "elman train classify JapaneseVowels_TRAIN.ts --out RUN",
            {
                "JapaneseVowels_TRAIN.ts": (
                    "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd"
                ),
                "JapaneseVowels_TEST.ts": (
                    "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462"
                ),
            },
        ),
        Dataset(
            "multi30k",
            "translate",
            "CC BY-NC-SA 4.0",
            4.3,
            "github.com/multi30k/dataset",
            "elman train translate train.lc.norm.tok.de --targets train.lc.norm.tok.en --out RUN",
            {
                "train.lc.norm.tok.de": (
                    "cb5a23529b65ec2061f1dc446192a9c37382b63cc75f81a0be59d34894b3a505"
                ),
                "train.lc.norm.tok.en": (
                    "08925f8e0572bcd5a006702fc5fe20e2d77c6917d4eebd576fc20de6693c2119"
                ),
                "val.lc.norm.tok.de": (
                    "97232bd273eceb7207f689527386a97e4be2616b18ada47576bdaf96c8ae1f00"
                ),
                "val.lc.norm.tok.en": (
                    "46573ce391ae227f1c72f873392436a20ef18e0a6d518098cfbd70b77c8572ec"
                ),
                f"{_TEST}.de": "c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4",
                f"{_TEST}.en": "5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2",
            },
        ),
        Dataset(
            "tiny-shakespeare",
            "language-model",
            "public domain",
            1.1,
            "github.com/karpathy/char-rnn",
            "elman train language-model input.txt --level characters --out RUN",
            {"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
        ),
        Dataset(
            "ud-english-ewt",
            "tag",
            "CC BY-SA 4.0",
            17.8,
            "github.com/UniversalDependencies/UD_English-EWT",
            f"elman train tag {_EWT}-train.conllu --validation {_EWT}-dev.conllu --out RUN",
            {
                f"{_EWT}-train.conllu": (
                    "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b"
                ),
                f"{_EWT}-dev.conllu": (
                    "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6"
                ),
                f"{_EWT}-test.conllu": (
                    "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd"
                ),
            },
        ),
        Dataset(
            "wikitext-2",
            "language-model",
            "CC BY-SA (Wikipedia)",
            13.2,
            "github.com/pytorch/examples",
            "elman train language-model train.txt --validation valid.txt --level words --out RUN",
            {
                "train.txt": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
                "valid.txt": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
                "test.txt": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
            },
        ),
        Dataset(
            "wnut17",
            "tag",
            "CC BY 4.0",
            1.1,
            "github.com/leondz/emerging_entities_17",
            "elman train tag wnut17train.conll --validation emerging.dev.conll --crf --out RUN",
            {
                "wnut17train.conll": (
                    "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5"
                ),
                "emerging.dev.conll": (
                    "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8"
                ),
                "emerging.test.annotated": (
                    "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0"
                ),
            },
        ),
    )
}
"""The data sets by their names."""


def check_dataset(name: str, folder: Path) -> list[Path]:
    """The files of a local copy, if it is the one that is meant.

    Args:
        name: of the data set.
        folder: where the copy is; its files may lie anywhere below, and have .gz behind. Of files
            with one name, that with the content is taken.

    Raises:
        ValueError: the data set is not known, a file is missing or has another content.
        FileNotFoundError: there is no such folder.

    Example:
        >>> check_dataset("ett", Path("nowhere"))
        Traceback (most recent call last):
        FileNotFoundError: nowhere: no such folder.
    """
    if name not in DATASETS:
        raise ValueError(f"{name}: no such data set; those known are {', '.join(DATASETS)}.")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder.")
    found: list[Path] = []
    for file, digest in DATASETS[name].files.items():
        places = [one for end in ("", ".gz") for one in sorted(folder.rglob(file + end))]
        if not places:
            raise ValueError(
                f"{folder}: there is no {file} (or {file}.gz) below it; get it from"
                f" {DATASETS[name].source}."
            )
        seen = [_digest(place) for place in places]
        if digest not in seen:
            raise ValueError(
                f"{places[0]}: another content than {name}'s (SHA-256 {seen[0][:12]}…, not"
                f" {digest[:12]}…); get it from {DATASETS[name].source}."
            )
        found.append(places[seen.index(digest)])
    return found


def _digest(path: Path) -> str:
    """The SHA-256 of a file's content, unpacked."""
    digest = hashlib.sha256()
    for content in unpacked(path):
        digest.update(content)
    return digest.hexdigest()
