"""Options that would be left out in silence, files that would be lost, and what is printed."""

import contextlib
import importlib
import json
import math
import os

import pytest

from elman.cli import main
from elman.data import read_table
from elman.tasks import LanguageModel, SequenceGenerator
from elman.tasks._claim import claimed, sign

FILES = {
    "a.txt": "one\ntwo\n",
    "b.txt": "eins\nzwei\n",
    "pairs.csv": "de,en\neins,one\nzwei,two\n",
    "data.ts.csv": "text,label\na b,x\nc d,y\n",
    "words.csv": "text,label\na b,x\nc d,y\n",
    "data.ts": "@classLabel true up down\n@data\n1,2,3:up\n",
    "sold.csv": "date,sold\n2024-01-01,1\n2024-01-02,2\n",
    "classes/x/1.txt": "text",
    "run/metrics.jsonl": "{}\n",
}


@pytest.fixture
def elman(tmp_path, monkeypatch, capsys):
    """Calls the command line in this process: the exit code, and what was printed."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("elman.cli._main")
    monkeypatch.setattr(module, "own_process", contextlib.nullcontext)
    monkeypatch.setattr("warnings.formatwarning", None)

    def called(arguments):
        monkeypatch.setattr("sys.argv", ["elman", *arguments.split()])
        with contextlib.suppress(SystemExit):
            main()
        return capsys.readouterr()

    return called


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train translate pairs.csv --targets b.txt", "pairs.csv: this is a table, whose lines are"
         " no texts; give two text files whose lines go together, or the table alone."),
        ("train translate a.txt --targets b.txt --source-column de", "a.txt: --source-column is for"
         " tables, and this is a text whose lines go with those of --targets; leave it out."),
        ("train classify classes --label-column kind", "classes: --label-column is for tables, and"
         " this is a folder of classes; leave it out."),
        ("train regress data.ts --feature x", "data.ts: --feature is for tables, and this is a .ts"
         " file; leave it out."),
        ("train classify data.ts.csv --label-column nope", "data.ts.csv: no column 'nope'; the"
         " columns are 'text', 'label'."),
        ("train classify words.csv --id-column text --label-column label", "words.csv: no column of"
         " numbers is left for the steps; the columns are 'text', 'label'. Name columns of numbers"
         " with --feature."),
        ("train language-model a.txt --text-column text", "a.txt: --text-column is for tables, and"
         " this is text; leave it out."),
        ("train language-model a.txt --transpose 3", "--transpose is for pieces of music; leave it"
         " out, or give --level notes."),
        ("train forecast sold.csv --target-column sold --known sold", "sold.csv: column 'sold' is"
         " given 2 times among the target and the covariates; give it once, for what is forecast is"
         " not known ahead."),
        ("predict run words.csv", "run/metrics.jsonl: that is a file of the run itself; give another"
         " file to write."),
    ],
)  # fmt: skip
def test_what_would_be_left_out_or_lost_is_refused(arguments, said, elman, tmp_path):
    out = "run/metrics.jsonl" if arguments.startswith("predict") else "o"
    assert elman(f"{arguments} --out {out}").err == f"elman: {said}\n"
    assert not (tmp_path / "o").exists()
    assert (tmp_path / "run/metrics.jsonl").read_text() == "{}\n"


def test_a_text_has_no_column_to_be_measured(elman, monkeypatch):
    monkeypatch.setattr("elman.tasks.load", lambda run: LanguageModel())
    said = "elman: a.txt: --text-column is for tables, and this is text; leave it out.\n"
    assert elman("evaluate run a.txt --text-column text").err == said


@pytest.mark.parametrize("out", ["p.csv", "p.TSV"])
def test_lists_have_no_place_in_cells(out, elman, monkeypatch):
    model = SequenceGenerator()
    model.is_text_, model.classes_ = False, ["a"]
    monkeypatch.setattr("elman.tasks.load", lambda run: model)
    said = (
        f"the rows hold lists of numbers, for which {out[1:].lower()} has no place; give a .jsonl"
    )
    assert (
        elman(f"predict run a.txt --out {out}").err == f"elman: {out}: {said} or .parquet file.\n"
    )


def test_what_predictions_wrote_is_read_again(tmp_path):
    module = importlib.import_module("elman.cli._predict")
    columns = {
        "word": ['say "hi"', "a\tb", "c\nd", ""],
        "n": [1, 2, 3, 4],
        "p": [0.5, 1.5, 2.5, 0.0],
    }
    for kind in (".csv", ".tsv", ".parquet"):
        (tmp_path / f"p{kind}").write_bytes(module._WRITERS[kind](columns))
        assert read_table(tmp_path / f"p{kind}").to_pydict() == columns


def test_json_has_null_for_what_is_no_number(tmp_path, capsys):
    from elman.cli._output import show

    show({"a": math.nan, "b": [1.5, -math.inf], "c": {"d": (math.inf, "NaN")}}, as_json=True)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": None, "b": [1.5, None], "c": {"d": [None, "NaN"]},
    }  # fmt: skip
    module = importlib.import_module("elman.cli._predict")
    assert module._lines({"p": [0.5, math.nan]}) == b'{"p": 0.5}\n{"p": null}\n'


def test_names_are_printed_as_they_are(capsys):
    from elman.cli._output import show

    show({"run": "rh/[/x]", "[b]y": ":smile:"}, as_json=False, title="[/]")
    printed = capsys.readouterr().out
    for one in ("rh/[/x]", "[b]y", ":smile:", "[/]"):
        assert one in printed


def test_a_file_of_options_may_start_with_a_byte_order_mark(tmp_path):
    from elman.cli._settings import settings

    (tmp_path / "a.toml").write_text("[model]\nhidden_size = 8\n", encoding="utf-8-sig")
    assert settings(SequenceGenerator, tmp_path / "a.toml", None, {}) == {"hidden_size": 8}


def test_a_table_is_read_by_the_column_of_the_training(elman, tmp_path):
    (tmp_path / "letters.csv").write_text("de,en\n" + "eins,one two one two\n" * 30)
    train = "train language-model letters.csv --text-column en --out lm --hidden 4 --epochs 1"
    assert not elman(train).err
    found = json.loads(elman("evaluate lm letters.csv --json").out)
    assert found["held_out_tokens"] > 20 * len("one two one two")
    assert not elman("inspect lm letters.csv").err
    assert "no column 'en'" in elman("evaluate lm words.csv").err


def test_a_folder_that_is_trained_in_is_refused(elman, tmp_path):
    with claimed(tmp_path / "busy"):
        sign(tmp_path / "busy")
        said = elman("train classify words.csv --out busy").err
    assert said == (
        f"elman: busy: is being trained by process {os.getpid()}; let it end, or give another"
        " folder.\n"
    )
