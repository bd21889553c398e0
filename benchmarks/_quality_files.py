"""Makes the files that the quality problems read of the data sets as they are distributed."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import re
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from sklearn.model_selection import train_test_split

from elman.data import notes_of


def lines_of(file: Path, encoding: str = "utf-8") -> list[str]:
    """The lines of a text file, which may be compressed."""
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding=encoding) as stream:
        return stream.read().splitlines()


def write_lines(file: Path, lines: Iterable[str]) -> None:
    """Writes a text file."""
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_rows(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes JSON lines."""
    write_lines(file, (json.dumps(row, ensure_ascii=False) for row in rows))


def write_labelled(file: Path, texts: Iterable[str], labels: Iterable[str]) -> None:
    """Writes texts with their labels as JSON lines."""
    pairs = zip(texts, labels, strict=True)
    write_rows(file, ({"text": text, "label": label} for text, label in pairs))


def sms_spam(data: Path, out: Path) -> None:
    """A seeded stratified 80/20 split."""
    rows = [line.split("\t", 1) for line in lines_of(data / "sms-spam" / "SMSSpamCollection.gz")]
    parts = train_test_split(rows, test_size=0.2, stratify=[r[0] for r in rows], random_state=0)
    for name, part in zip(("train", "test"), parts, strict=True):
        lines = ["label\ttext", *("\t".join(row) for row in part)]
        write_lines(out / f"{name}.tsv", lines)


def imdb(data: Path, out: Path) -> None:
    """Whole reviews; the stars are in the files' names, the class in the folders'."""
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    with tarfile.open(data / "imdb" / "aclImdb_labelled.tar.xz") as archive:
        for member in archive:
            pieces = member.name.split("/")
            if len(pieces) != 4 or pieces[2] not in ("pos", "neg"):
                continue
            text = archive.extractfile(member).read().decode()  # pyright: ignore[reportOptionalMemberAccess]
            parts[pieces[1]].append((text.replace("<br />", " "), pieces[2]))
    for name, rows in parts.items():
        write_labelled(out / f"{name}.jsonl", *zip(*rows, strict=True))


def sst2(data: Path, out: Path) -> None:
    """Sentences, their official parts; trained on the labelled phrases of the training sentences'
    trees, as is the custom, without the neutral ones.
    """
    words = {"0": "negative", "1": "positive"}
    for name in ("dev", "test"):
        rows = [line.rsplit("\t", 1) for line in lines_of(data / "sst" / "sst2" / f"{name}.tsv.gz")]
        write_labelled(out / f"{name}.jsonl", (r[0] for r in rows), (words[r[1]] for r in rows))
    phrases: dict[str, str] = {}
    for line in lines_of(data / "sst" / "fiveclass" / "train.txt.gz"):
        for label, text in _phrases(line):
            if label != 2:
                phrases[text] = words[str(int(label > 2))]
    write_labelled(out / "train.jsonl", phrases.keys(), phrases.values())


def _phrases(tree: str) -> list[tuple[int, str]]:
    """The label and the text of every node of a tree such as `(3 (2 so) (4 good))`."""
    found: list[tuple[int, str]] = []
    open_nodes: list[tuple[int, list[str]]] = []
    for part in re.findall(r"\(\d|\)|[^\s()]+", tree):
        if part.startswith("("):
            open_nodes.append((int(part[1]), []))
        elif part == ")":
            label, texts = open_nodes.pop()
            found.append((label, " ".join(texts)))
            if open_nodes:
                open_nodes[-1][1].extend(texts)
        # the sentences to be told of have no hyphens, and brackets as they are
        elif part != "-":
            open_nodes[-1][1].append({"-LRB-": "(", "-RRB-": ")"}.get(part, part).lower())
    return [(label, text) for label, text in found if text]


def trec(data: Path, out: Path) -> None:
    """Questions of six types."""
    for name in ("train", "test"):
        file = data / "sentence-classification" / f"TREC.{name}.all.gz"
        rows = [line.split(" ", 1) for line in lines_of(file, "latin-1")]
        write_labelled(out / f"{name}.jsonl", (r[1] for r in rows), (f"type {r[0]}" for r in rows))


def snips(data: Path, out: Path) -> None:
    """Queries with the slots of their words, and their intents above; the official parts."""
    for name in ("train", "valid", "test"):
        folder = data / "snips" / name
        texts, slots, intents = (
            [line.strip() for line in lines_of(folder / part)]
            for part in ("seq.in", "seq.out", "label")
        )
        lines: list[str] = []
        for text, tags, intent in zip(texts, slots, intents, strict=True):
            words = zip(text.split(), tags.split(), strict=True)
            lines += [f"# intent = {intent}", *(f"{word}\t{tag}" for word, tag in words), ""]
        write_lines(out / f"{name}.conll", lines)


def japanese_vowels(data: Path, out: Path) -> None:
    """The archive's split; utterances of 7 to 29 steps, 12 channels, 9 speakers."""
    for name in ("train", "test"):
        file = data / "uea-ucr" / f"JapaneseVowels_{name.upper()}.ts.gz"
        write_rows(out / f"{name}.jsonl", _ts_rows(file))


def _ts_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of the archive's format: channels by colons, steps by commas, the label last."""
    rows: list[dict[str, Any]] = []
    for line in lines_of(file):
        if line.startswith(("#", "@")) or not line.strip():
            continue
        *channels, label = line.strip().split(":")
        numbers = [[float(x) for x in one.split(",")] for one in channels]
        steps = [list(step) for step in zip(*numbers, strict=True)]
        rows.append({"sequence": steps, "label": label})
    return rows


def sequential_mnist(data: Path, out: Path) -> None:
    """Digits, pixel by pixel; the last 5,000 of the training images choose the weights."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    kinds = {"train": "train", "test": "t10k"}
    for name, kind in kinds.items():
        with lzma.open(data / "mnist" / f"{kind}-images-idx3-ubyte.xz") as stream:
            images = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 784) / 255.0
        with lzma.open(data / "mnist" / f"{kind}-labels-idx1-ubyte.xz") as stream:
            labels = np.frombuffer(stream.read(), np.uint8, offset=8)
        values = pa.array(images.astype(np.float32).ravel())
        table = pa.table(
            {
                "sequence": pa.FixedSizeListArray.from_arrays(values, 784),
                "label": [str(one) for one in labels],
            }
        )
        if name == "train":
            parquet.write_table(table.slice(55_000), out / "valid.parquet")
            table = table.slice(0, 55_000)
        parquet.write_table(table, out / f"{name}.parquet")


def tiny_shakespeare(data: Path, out: Path) -> None:
    """The text as it is."""
    (out / "input.txt").write_bytes((data / "tiny-shakespeare" / "input.txt").read_bytes())


def wikitext_2(data: Path, out: Path) -> None:
    """The text in its tokens as they are, an end at every line; its three parts."""
    for name in ("train", "valid", "test"):
        lines = lines_of(data / "wikitext-2" / f"{name}.txt.gz")
        write_lines(out / f"{name}.txt", (f"{line} <eos>" for line in lines))


def sunspots(data: Path, out: Path) -> None:
    """Monthly, 24 months ahead; the last 282 months are tested on."""
    with (data / "classic-series" / "monthly-sunspots.csv").open(newline="") as file:
        write_series(out, list(csv.reader(file)), 282)


def oil_temperature(data: Path, out: Path) -> None:
    """ETTh1, oil temperature, 24 hours ahead; 12 months, 4 to choose by, 4 to test."""
    with gzip.open(data / "ett" / "ETTh1.csv.gz", "rt", newline="") as file:
        rows = [[row[0], row[-1]] for row in csv.reader(file)]
    write_series(out, rows[: 1 + 20 * 720], 4 * 720)


def write_series(out: Path, rows: Sequence[list[str]], last: int) -> None:
    """A series without its last steps, and with them."""
    for name, part in (("train", rows[:-last]), ("all", rows)):
        with (out / f"{name}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows(part)


def m4_hourly(data: Path, out: Path) -> None:
    """414 series of hours, 48 ahead."""
    m4(data, out, "Hourly")


def m4_weekly(data: Path, out: Path) -> None:
    """359 series of weeks, 13 ahead."""
    m4(data, out, "Weekly")


def m4(data: Path, out: Path, kind: str) -> None:
    """Series of the M4 competition, one a line, without their test parts and with them."""
    parts: list[dict[str, list[float]]] = []
    for part in ("train", "test"):
        rows = csv.reader(lines_of(data / "m4" / f"{kind}-{part}.csv.gz")[1:])
        parts.append({row[0]: [float(one) for one in row[1:] if one] for row in rows})
    train, test = parts
    write_rows(out / "train.jsonl", ({"id": name, "y": y} for name, y in train.items()))
    whole = ({"id": name, "y": y + test[name]} for name, y in train.items())
    write_rows(out / "all.jsonl", whole)


def exchange_rate(data: Path, out: Path) -> None:
    """Eight currencies by day, one a line; the last fifth of the days is tested on."""
    rows = lines_of(data / "exchange-rate" / "exchange_rate.txt.gz")
    rates = np.array([row.split(",") for row in rows], dtype=float).T
    train = rates[:, : int(rates.shape[1] * 0.8)]
    for name, part in (("train", train), ("all", rates)):
        write_rows(
            out / f"{name}.jsonl",
            ({"id": str(number), "y": one.tolist()} for number, one in enumerate(part, 1)),
        )


# sensors of FD001 that never change tell nothing
_CONSTANT = (1, 5, 6, 10, 16, 18, 19)
# cycles of an engine that are read, and the life above which none is told apart, as in the papers
_CYCLES, _MOST = 50, 125


def cmapss(data: Path, out: Path) -> None:
    """Windows of an engine's last cycles with its remaining life; engines 81 to 100 choose the
    weights; the test asks once for each engine.
    """
    folder = data / "cmapss"
    kept = [4 + s for s in range(1, 22) if s not in _CONSTANT]
    engines = {
        name: np.array([line.split() for line in lines_of(folder / f"{name}_FD001.txt.gz")], float)
        for name in ("train", "test")
    }
    lives = [float(line) for line in lines_of(folder / "RUL_FD001.txt")]
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "valid": [], "test": []}
    for number in np.unique(engines["train"][:, 0]):
        steps = engines["train"][engines["train"][:, 0] == number][:, kept]
        for end in range(1, len(steps) + 1):
            life = min(float(len(steps) - end), _MOST)
            row = {"sequence": steps[max(end - _CYCLES, 0) : end].tolist(), "label": life}
            rows["train" if number <= 80 else "valid"].append(row)
    for number, life in zip(np.unique(engines["test"][:, 0]), lives, strict=True):
        steps = engines["test"][engines["test"][:, 0] == number][:, kept]
        rows["test"].append({"sequence": steps[-_CYCLES:].tolist(), "label": min(life, _MOST)})
    for name, part in rows.items():
        write_rows(out / f"{name}.jsonl", part)


def chorales(data: Path, out: Path) -> None:
    """Bach's chorales in quarter notes, the parts of Boulanger-Lewandowski et al."""
    write_music(data, out, "JSB_Chorales")


def nottingham(data: Path, out: Path) -> None:
    """Folk tunes with chords, the parts of Boulanger-Lewandowski et al."""
    write_music(data, out, "Nottingham")


def write_music(data: Path, out: Path, name: str) -> None:
    """Piano rolls as pieces of MIDI notes."""
    rolls = loadmat(data / "polyphonic-music" / f"{name}.mat")
    for part in ("train", "valid", "test"):
        pieces = rolls[f"{part}data"][0]
        write_rows(out / f"{part}.jsonl", ({"notes": notes_of(piece)} for piece in pieces))


def ud_english(data: Path, out: Path) -> None:
    """The English Web Treebank, its official parts."""
    for name in ("train", "dev", "test"):
        file = data / "ud-english-ewt" / f"en_ewt-ud-{name}.conllu.gz"
        (out / f"{name}.conllu.gz").write_bytes(file.read_bytes())


def multi30k(data: Path, out: Path) -> None:
    """German and English captions, lower-cased and cut into tokens by their makers, and as they
    are; the test is that of 2016.
    """
    parts = {"train": "train", "val": "val", "test": "test_2016_flickr"}
    for kind in ("tok", "raw"):
        for name, stem in parts.items():
            for language in ("de", "en"):
                found = sorted((data / "multi30k" / kind).glob(f"{stem}*.{language}.gz"))
                write_lines(out / f"{kind}-{name}.{language}", lines_of(found[0]))


def sigmorphon(data: Path, out: Path) -> None:
    """German: the features and the letters of a lemma, the letters of the form."""
    for name in ("train", "dev", "test"):
        rows = ["source\ttarget"]
        for line in lines_of(data / "sigmorphon2016" / f"german-task1-{name}.gz"):
            lemma, features, form = line.split("\t")
            rows.append(f"{' '.join(features.split(','))} {spaced(lemma)}\t{spaced(form)}")
        write_lines(out / f"{name}.tsv", rows)


def spaced(word: str) -> str:
    """Its letters with blanks between; a blank of its own is shown."""
    return " ".join(word.replace(" ", "␣"))


def cmudict(data: Path, out: Path) -> None:
    """Words and sounds without their stress, as the published figures count; seeded by word 85 % /
    5 % to choose by / 10 %, all pronunciations of a word in one part; a word may have several.
    """
    words: dict[str, dict[str, None]] = {}
    for line in lines_of(data / "cmudict" / "cmudict.dict.gz"):
        word, sounds = line.split(" #")[0].split(" ", 1)
        sounds = "".join(letter for letter in sounds.strip() if not letter.isdigit())
        # two that differ in their stress alone are one; a dict, since a set has no order
        words.setdefault(word.split("(")[0], {})[sounds] = None
    names = sorted(words)
    order = np.random.default_rng(0).permutation(len(names))
    a, b = round(0.85 * len(names)), round(0.9 * len(names))
    for name, part in (("train", order[:a]), ("valid", order[a:b]), ("test", order[b:])):
        rows = [f"{spaced(names[i])}\t{one}" for i in part for one in words[names[i]]]
        write_lines(out / f"{name}.tsv", ["source\ttarget", *rows])


def spoken_digits(data: Path, out: Path) -> None:
    """The official split: takes 0 to 4 are the test; takes 5 to 9 choose the weights. A folder for
    each digit.
    """
    with tarfile.open(data / "free-spoken-digits" / "fsdd.tar.xz") as archive:
        for member in archive:
            name = Path(member.name).name
            if not name.endswith(".wav"):
                continue
            digit, _, take = Path(name).stem.split("_")
            part = "test" if int(take) < 5 else "valid" if int(take) < 10 else "train"
            folder = out / part / digit
            folder.mkdir(parents=True, exist_ok=True)
            sound: Any = archive.extractfile(member)
            (folder / name).write_bytes(sound.read())


def an4(data: Path, out: Path) -> None:
    """Utterances as cepstra, the official split; of the training speakers every tenth chooses the
    weights.
    """
    with tarfile.open(data / "an4" / "an4-mfcc.tar.xz") as archive:
        archive.extractall(out, filter="data")
    root = out / "an4"
    for part in ("train", "test"):
        ids = lines_of(root / "etc" / f"an4_{part}.fileids")
        texts = lines_of(root / "etc" / f"an4_{part}.transcription")
        rows: list[dict[str, Any]] = []
        for one, line in zip(ids, texts, strict=True):
            words = line.rsplit("(", 1)[0].replace("<s>", "").replace("</s>", "").split()
            file = root / "feat" / f"{one.strip()}.mfc"
            rows.append({"file": str(file.relative_to(out)), "text": " ".join(words)})
        if part == "train":
            speakers = sorted({Path(row["file"]).parent.name for row in rows})[::10]
            held = [row for row in rows if Path(row["file"]).parent.name in speakers]
            write_rows(out / "valid.jsonl", held)
            rows = [row for row in rows if row not in held]
        write_rows(out / f"{part}.jsonl", rows)
