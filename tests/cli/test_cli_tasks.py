"""Classifying, regressing, forecasting and the other tasks from the command line."""

import json
import shutil

import numpy as np
import pyarrow.parquet
from command import refused, run

SMALL = ["--hidden", "8", "--epochs", "2"]


def test_predictions_in_every_format(folder, tmp_path):
    done = run("predict", folder / "classify", folder / "text.tsv", "--out", tmp_path / "p.csv")
    assert done.stdout == f"40 rows written to {tmp_path / 'p.csv'}.\n"
    head, first, *rest = (tmp_path / "p.csv").read_text().splitlines()
    assert head == '"row","prediction","probability","p_bad","p_good"'
    assert first.startswith("1,")
    assert len(rest) == 39
    # no label is needed to predict
    (tmp_path / "steps.tsv").write_text("patient\thour\tpulse\nx\t0\t1.5\nx\t1\t2.5\nz\t0\t1\n")
    done = run(
        "predict", folder / "regress", tmp_path / "steps.tsv", "--out", tmp_path / "p.jsonl",
        "--json",
    )  # fmt: skip
    assert json.loads(done.stdout) == {"rows": 2, "out": str(tmp_path / "p.jsonl")}
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["patient"] for row in rows] == ["x", "z"]
    done = run(
        "predict", folder / "forecast", folder / "sales.csv", "--out", tmp_path / "f.parquet"
    )
    assert done.returncode == 0, done.stderr
    table = pyarrow.parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["series", "step", "time", "forecast", "q0.1", "q0.5", "q0.9"]
    assert str(table["time"][0].as_py().date()) == "2024-04-30"
    done = run("predict", folder / "forecast", folder / "sales.csv", "--out", tmp_path / "f.tsv")
    assert len((tmp_path / "f.tsv").read_text().splitlines()) == 8


def test_evaluations(folder):
    found = json.loads(run("evaluate", folder / "classify", folder / "text.tsv", "--json").stdout)
    assert found["accuracy"] > 0.9
    found = json.loads(run("evaluate", folder / "regress", folder / "steps.csv", "--json").stdout)
    assert found["rmse"] < 2
    done = run("evaluate", folder / "forecast", folder / "sales.csv", "--last", "20", "--json")
    assert json.loads(done.stdout)["origins"] == 14


def test_many_series_with_a_row_each(tmp_path):
    rng = np.random.default_rng(0)
    lines = []
    for name, length in (("a", 90), ("b", 60), ("c", 41)):
        y = 1e3 * np.exp(np.sin(np.arange(length) * 2 * np.pi / 7) + rng.normal(0, 0.1, length))
        lines.append(json.dumps({"series": name, "load": y.round(3).tolist()}) + "\n")
    file, out = tmp_path / "many.jsonl", tmp_path / "run"
    file.write_text("".join(lines))
    train = ("train", "forecast", file, "--out", out, "--season", 7, "--log", *SMALL)
    done = run(*train, "--horizon", 5, "--lag", 7, "--lag", 14)
    assert done.returncode == 0, done.stderr
    assert "columns: target = load; id = series" in done.stdout
    assert "smape seasonal naive" in done.stdout
    assert json.loads((out / "config.json").read_text())["params"]["lags"] == [7, 14]
    found = json.loads(run("evaluate", out, file, "--last", 5, "--json").stdout)
    assert found["origins"] == 3
    assert 0 < found["smape"] < found["smape_persistence"]
    done = run("predict", out, file, "--out", tmp_path / "next.csv")
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "next.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in table[1::5]] == ['"a"', '"b"', '"c"']
    done = run(*train[:4], tmp_path / "other", "--horizon", 25)
    assert (done.returncode, done.stderr) == (
        2,
        "elman: Forecaster.fit: series 'c' has 41 steps; to learn a horizon of 25 and hold 25 out takes"
        " 51; give a shorter horizon or a longer series.\n",
    )
    assert not (tmp_path / "other").exists()


def test_inspect_says_how_far_back_the_gradient_reaches(folder, tmp_path):
    source = shutil.copytree(folder / "classify", tmp_path / "run")
    done = run("inspect", source)
    assert done.returncode == 0, done.stderr
    assert "gradients" in done.stdout
    assert "steps" in done.stdout
    assert (source / "diagnosis.json").is_file()
    for kind, data in (("regress", "steps.csv"), ("forecast", "sales.csv")):
        done = run("inspect", folder / kind, folder / data, "--json", "--out", tmp_path / kind)
        found = json.loads(done.stdout)
        assert found == json.loads((tmp_path / kind / "diagnosis.json").read_text())
        assert found["sentence"]
        assert (tmp_path / kind / "plots" / "reach.png").is_file()


def test_inspect_without_its_data_asks_for_some(folder, tmp_path):
    moved = shutil.copytree(folder / "classify", tmp_path / "run")
    config = json.loads((moved / "config.json").read_text())
    config["data"]["source"] = str(tmp_path / "gone.tsv")
    (moved / "config.json").write_text(json.dumps(config))
    done = run("inspect", moved)
    assert done.returncode == 2
    assert done.stderr == (
        f"elman: {tmp_path / 'gone.tsv'}: the data is not there; give data of the same kind:"
        " elman inspect RUN DATA.\n"
    )
    done = run("inspect", moved, folder / "sales.csv")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_training_is_watched_treated_and_given_up(folder, tmp_path):
    done = run(
        "train", "classify", folder / "text.tsv", "--out", tmp_path / "run", "--watch",
        "--remedy", "auto", "--give-up", "--bptt", "checkpointed", *SMALL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert any("diagnosis" in json.loads(line) for line in lines)
    done = run(
        "train", "classify", folder / "text.tsv", "--out", tmp_path / "b", "--remedy", "magic"
    )
    assert done.returncode == 2
    assert "remedy='magic' is not known; give one of none, auto" in done.stderr
    assert not (tmp_path / "b").exists()


def test_tagging_from_a_file_to_predictions(tmp_path):
    rows = "the DET\ndog NOUN\nruns VERB\n\na DET\ncat NOUN\nsleeps VERB\n\n" * 12
    (tmp_path / "a.conll").write_text(rows)
    out = tmp_path / "run"
    options = ["--hidden", "8", "--epochs", "6", "--lr", "0.02", "--crf"]
    done = run("train", "tag", tmp_path / "a.conll", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    found = run("evaluate", out, tmp_path / "a.conll", "--json")
    assert json.loads(found.stdout)["accuracy"] == 1
    (tmp_path / "new.conll").write_text("a\ndog\nsleeps\n")
    done = run("predict", out, tmp_path / "new.conll", "--out", tmp_path / "p.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p.csv").read_text().splitlines()[1:] == [
        '1,"a","DET"', '1,"dog","NOUN"', '1,"sleeps","VERB"',
    ]  # fmt: skip
    (tmp_path / "bad.conll").write_text("a X Y\nb Z\n")
    bad = run("train", "tag", tmp_path / "bad.conll", "--out", tmp_path / "none")
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "line 2 has 2 columns, the line before it 3" in bad.stderr
    assert not (tmp_path / "none").exists()


def test_tags_and_labels_from_a_file_to_predictions(tmp_path):
    rows = "# kind = song\nplay O\njazz B-STYLE\n\n# kind = trip\ngo O\nhome B-PLACE\n\n" * 12
    (tmp_path / "a.conll").write_text(rows)
    out = tmp_path / "run"
    options = ["--label", "kind", "--hidden", "8", "--epochs", "6", "--lr", "0.02"]
    done = run("train", "tag", tmp_path / "a.conll", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    found = run("evaluate", out, tmp_path / "a.conll", "--json")
    assert json.loads(found.stdout)["exact_match"] == 1
    (tmp_path / "new.conll").write_text("go\nhome\n")
    done = run("predict", out, tmp_path / "new.conll", "--out", tmp_path / "p.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p.csv").read_text().splitlines() == [
        '"sentence","word","prediction","label"', '1,"go","O","trip"', '1,"home","B-PLACE","trip"',
    ]  # fmt: skip
    bad = run("train", "tag", tmp_path / "a.conll", "--out", tmp_path / "none", "--label", "mood")
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "a.conll: line 2: the sentence has no label; give it a line '# mood = …'" in bad.stderr
    assert not (tmp_path / "none").exists()


def test_translating_from_two_files_to_predictions(tmp_path):
    (tmp_path / "a.de").write_text("ja\nnein\nja ja\n" * 20)
    (tmp_path / "a.en").write_text("yes\nno\nyes yes\n" * 20)
    out = tmp_path / "run"
    options = [
        "--hidden",
        "32",
        "--epochs",
        "30",
        "--lr",
        "0.01",
        "--batch",
        "8",
        "--set",
        "task.embedding_size=16",
    ]
    done = run("train", "translate", tmp_path / "a.de", "--targets", tmp_path / "a.en",
               "--validation", tmp_path / "a.de", "--validation-targets", tmp_path / "a.en",
               "--out", out, *options)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = run("evaluate", out, tmp_path / "a.de", "--targets", tmp_path / "a.en", "--json")
    assert json.loads(found.stdout)["accuracy"] == 1
    (tmp_path / "raw.en").write_text("Yes\nNo\nYes yes\n" * 20)
    found = run("evaluate", out, tmp_path / "a.de", "--targets", tmp_path / "a.en",
                "--raw", tmp_path / "raw.en", "--json")  # fmt: skip
    assert "tok:13a" in json.loads(found.stdout)["bleu_raw_signature"]
    done = run("predict", out, tmp_path / "a.de", "--out", tmp_path / "p.tsv")
    assert (tmp_path / "p.tsv").read_text().splitlines()[1].startswith('"ja"\t"yes"\t-')
    (tmp_path / "a.en").write_text("yes\n")
    bad = run("train", "translate", tmp_path / "a.de", "--targets", tmp_path / "a.en", "--out", out)
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "line 2 of a.de has no partner" in bad.stderr
    wrong = run("evaluate", out, tmp_path / "a.de", "--last", "3")
    assert "--last is for the task forecast, and the run is of the task translate" in wrong.stderr


def test_generating_from_a_table_to_predictions(tmp_path):
    rows = "label,name\n" + "up,abc\ndown,cba\n" * 20
    (tmp_path / "a.csv").write_text(rows)
    out = tmp_path / "run"
    options = ["--hidden", "16", "--epochs", "20", "--lr", "0.02", "--batch", "8"]
    done = run("train", "generate", tmp_path / "a.csv", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    (tmp_path / "new.csv").write_text("label\ndown\n")
    done = run("predict", out, tmp_path / "new.csv", "--out", tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text().splitlines()[1] == '"down","cba"', done.stderr


def test_recognizing_from_a_table_to_predictions(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for i in range(30):
        text = "".join(rng.choice(["a", "b"], 3))
        frames = np.repeat([[c == "a", c == "b", 0] for c in text], 4, 0)
        frames[::4] = [0, 0, 1]
        np.save(tmp_path / f"{i}.npy", frames.astype(np.float32))
        rows.append(f"{i}.npy,{text}\n")
    (tmp_path / "a.csv").write_text("file,text\n" + "".join(rows))
    out = tmp_path / "run"
    options = ["--hidden", "16", "--epochs", "30", "--lr", "0.02", "--batch", "8"]
    done = run("train", "recognize", tmp_path / "a.csv", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    found = run("evaluate", out, tmp_path / "a.csv", "--json")
    assert json.loads(found.stdout)["wer"] < 0.3
    done = run("predict", out, tmp_path / "3.npy", "--out", tmp_path / "p.jsonl")
    assert set(json.loads((tmp_path / "p.jsonl").read_text())["prediction"]) <= {"a", "b"}
    (tmp_path / "odd.csv").write_text("file,text\n0.npy,ab\n1.npy,abz\n")
    bad = run("evaluate", out, tmp_path / "odd.csv")
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "the text of utterance 1 has 'z', which training never saw ('abz')" in bad.stderr
    (tmp_path / "a.csv").write_text("file,text\n0.npy,ab\nno.npy,ab\n")
    bad = run("train", "recognize", tmp_path / "a.csv", "--out", tmp_path / "none")
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "no.npy: no such file" in bad.stderr


def test_music_from_a_table_to_a_tune(tmp_path):
    tune = [[60, 64], [62], [64, 67], []]
    row = json.dumps({"title": "a round", "notes": tune * 4}) + "\n"
    (tmp_path / "a.jsonl").write_text(row * 20)
    out = tmp_path / "run"
    options = ["--level", "notes", "--hidden", "32", "--epochs", "20", "--lr", "0.02"]
    done = run("train", "language-model", tmp_path / "a.jsonl", "--out", out, *options,
               "--batch", "2", "--validation", tmp_path / "a.jsonl")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "loss with first" in done.stdout
    found = json.loads(run("evaluate", out, tmp_path / "a.jsonl", "--json").stdout)
    assert (found["f1"], found["held_out_steps"]) == (1, 20 * 15)
    more = ["--prompt", "64 60, 62", "--length", "3", "--temperature", "0"]
    assert run("generate", out, *more).stdout == "60 64\n62\n64 67\n\n60 64\n"
    # what is written as JSON is read again
    (tmp_path / "b.jsonl").write_text(run("generate", out, *more, "--json").stdout)
    assert json.loads((tmp_path / "b.jsonl").read_text()) == {"notes": [*tune, [60, 64]]}
    found = json.loads(run("evaluate", out, tmp_path / "b.jsonl", "--json").stdout)
    assert found["held_out_steps"] == 4
    (tmp_path / "bad.jsonl").write_text(row + '{"notes": [[60], [128]]}\n')
    for arguments, said in (
        (["generate", out, "--prompt", "C4"], "--prompt 'C4': give MIDI notes, a comma between"),
        (["generate", out, "--top-k", "3"], "top_k=3 chooses one token of many, and every key"),
        (["evaluate", out, tmp_path / "a.jsonl", "--cache", "9"], "(--cache, --dynamic) is for texts"),
        (["train", "language-model", tmp_path / "bad.jsonl", "--out", tmp_path / "none", *options],
         "bad.jsonl: row 2, step 1: the note 128 is not on the keyboard; give MIDI notes from 21"),
    ):  # fmt: skip
        refused(run(*arguments), said)
    assert not (tmp_path / "none").exists()
