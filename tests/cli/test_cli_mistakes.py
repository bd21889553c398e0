"""What bad input, damaged runs and a full disk get from the command line."""

import json
import resource
import shutil
import signal
from functools import partial

import pytest
from command import process, refused, run


def damaged(folder, tmp_path, kind):
    """A copy of a run with something wrong."""
    here = tmp_path / "damaged"
    shutil.copytree(folder / "classify", here)
    weights, config = here / "model.safetensors", json.loads((here / "config.json").read_text())
    if kind == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    if kind == "tampered":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    if kind == "newer":
        (here / "config.json").write_text(json.dumps({**config, "format": 99}))
    if kind == "torn":
        (here / "config.json").write_text("{")
    return here


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("truncated", "the weights are not those that the run wrote (truncated or changed)"),
        ("tampered", "the weights are not those that the run wrote (truncated or changed)"),
        ("newer", "the run has format 99, this version of elman reads up to 1; upgrade elman."),
        ("torn", "config.json: damaged"),
    ],
)
def test_damaged_runs(folder, tmp_path, kind, said):
    here = damaged(folder, tmp_path, kind)
    refused(run("predict", here, folder / "text.tsv", "--out", tmp_path / "p.csv"), said)
    assert not (tmp_path / "p.csv").exists()


FILES = {
    "empty.txt": b"",
    "empty.csv": b"",
    "binary.txt": b"text\0text",
    "latin.txt": "caf\u00e9 au lait".encode("latin-1"),
    "bytes.csv": b"text\ncaf\xe9\n",
    "one.csv": b"text,label\na b,x\nc d,x\n",
    "series.csv": b"date,v\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n",
    "nan.csv": b"v\n1\n\n3\nNaN\n5\n",
    "inf.csv": b"v\n1\n2\ninf\n",
    "gap.csv": b"id,pulse,label\n1,2.0,a\n1,,a\n2,1.0,b\n",
    "none.jsonl": b'{"sequence": [1, 2], "label": 0}\n{"sequence": [], "label": 1}\n',
    "side.tsv": b"label\ttext\nsideways\ta film\n",
    "nolabel.tsv": b"kind\ttext\ngood\ta film\n",
    "order.conll": b"a O\nb O\n\nc O\nd I-P\ne B-P\n",
    "short.conll": b"a X\nb\n",
    "a.de": b"eins\n \ndrei\n",
    "a.en": b"one\ntwo\nthree\n",
    "b.en": b"one\n",
    "pairs.tsv": b"de\ten\neins\tone\n\ttwo\n",
    "torn.wav": b"RIFF\x24\x08\0\0WAVE",
    "said.csv": b"file,text\ntorn.wav,eins\n",
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train language-model empty.txt --out o", "empty.txt: the file is empty"),
        ("train classify empty.csv --out o", "empty.csv: the file is empty"),
        ("train language-model binary.txt --out o", "binary.txt: a binary file"),
        ("train language-model latin.txt --out o", "latin.txt: not UTF-8"),
        ("train classify one.csv --out o --text-column txt", "one.csv: no column 'txt'; the columns"
         " are 'text', 'label'. Did you mean 'text'?"),
        ("train classify one.csv --out o", "SequenceClassifier.fit: all labels are 'x'; give"
         " sequences of two classes or more."),
        ("evaluate {}/classify side.tsv", "the label 'sideways' was not seen in training; the"
         " classes are 'bad', 'good'."),
        ("evaluate {}/classify nolabel.tsv", "nolabel.tsv: no column 'label'; the columns are"
         " 'kind', 'text'."),
        ("train forecast series.csv --out o", "series 'v' has 3 steps; to learn a horizon of 24 and"
         " hold 24 out takes 49; give a shorter horizon or a longer series."),
        ("train forecast nan.csv --out o", "nan.csv: row 3, column 'v': nothing, or NaN"),
        ("train forecast inf.csv --out o", "inf.csv: row 3, column 'v': inf (1 such values)"),
        ("train classify gap.csv --id-column id --out o", "gap.csv: row 2, column 'pulse': nothing,"
         " or NaN (1 such values); mend it, or give missing=ffill or mask."),
        ("train classify none.jsonl --out o", "none.jsonl: row 2 has no steps; drop it."),
        ("train regress side.tsv --out o", "side.tsv: the label of row 1 is 'sideways', no number;"
         " give a number for each."),
        ("train tag order.conll --out o", "order.conll: line 5: the tag 'I-P' behind 'O' goes on"
         " with what has not begun; give B-P to the first word of a span."),
        ("train tag short.conll --out o", "short.conll: line 2 has 1 columns, the line before it 2;"
         " give all lines of a sentence as many."),
        ("train translate a.de --targets b.en --out o", "line 2 of a.de has no partner; give files"
         " whose lines go together."),
        ("train translate a.de --targets a.en --out o", "a.de: line 2 is empty; take the pair"
         " out."),
        ("train translate pairs.tsv --out o", "pairs.tsv: column 'de', row 2 is empty; take the"
         " pair out."),
        ("train recognize said.csv --out o", "torn.wav"),
        ("predict nowhere side.tsv --out p.csv", "nowhere: no such run folder"),
        ("predict {}/classify side.tsv --out p.xls", "p.xls: cannot write that; give a file in"
         " .csv, .tsv, .jsonl, .parquet."),
        ("predict {}/classify side.tsv --out no/p.csv", "no/p.csv: there is no folder no; make it"
         " first."),
        ("predict {}/classify side.tsv --out side.tsv", "side.tsv: that is the data itself; give"
         " another file to write."),
        ("predict {}/classify bytes.csv --out p.csv", "bytes.csv: row 1, column 'text' is not"
         " UTF-8; convert it"),
        ("train language-model /dev/null --out o", "/dev/null: this is a pipe or a device; give a"
         " file."),
        ("train classify one.csv --out o --seed -1", "random_state=-1; give a whole number from 0"
         " on as the seed, or None."),
        ("generate {}/classify", "the run is of the task classify; generate needs a"
         " language-model."),
        ("evaluate {}/classify side.tsv --last 3", "--last is for the task forecast, and the run is"
         " of the task classify; leave it out."),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_exit_code_2_and_nothing_half_written(
    arguments, said, folder, tmp_path
):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    refused(run(*arguments.format(folder).split(), cwd=tmp_path), said)
    assert {one.name for one in tmp_path.iterdir()} == set(FILES)


def test_an_instruction_set_that_is_not_there_leaves_no_folder(folder, tmp_path, monkeypatch):
    pytest.importorskip("elman.kernels._native")
    monkeypatch.setenv("ELMAN_CPU", "avx1024")
    command = ["train", "classify", folder / "text.tsv", "--out", tmp_path / "run"]
    refused(process(*command), "ELMAN_CPU=avx1024: this machine runs the kernels ")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_one_line_and_a_command_that_goes_on(folder, tmp_path, monkeypatch):
    # the measure of coverage would find the disk full too
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)

    def small_files(most):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    command = ["train", "classify", folder / "text.tsv", "--out", tmp_path / "run", "--epochs", "2"]
    refused(process(*command, preexec_fn=partial(small_files, 20_000)), "File too large")
    left = {one.name for one in tmp_path.rglob("*") if one.is_file()}
    assert "model.safetensors" not in left
    assert not [name for name in left if "tmp" in name]
    assert run(*command).returncode == 0
