"""The command line as a person uses it."""

import json
import subprocess
import sys
import time

import pytest
from command import process, run

import elman

SMALL = ["--hidden", "16", "--epochs", "2", "--batch", "4", "--bptt", "16"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "text.txt"
    file.write_text("to be, or not to be, that is the question.\n" * 60)
    return file


@pytest.fixture(scope="module")
def trained(text):
    out = text.parent / "run"
    done = run("train", "language-model", text, "--out", out, *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(out)
    return out


def test_the_way_through(trained, text):
    done = run("generate", trained, "--prompt", "to", "--length", "10", "--seed", "1")
    assert done.returncode == 0
    assert done.stdout.startswith("to")
    done = run("generate", trained, "--prompt", "to", "--length", "10", "--seed", "1", "--json")
    assert len(json.loads(done.stdout)["text"]) == 12
    done = run("evaluate", trained, text, "--json")
    assert json.loads(done.stdout)["loss"] < 4
    done = run("evaluate", trained, text)
    assert "perplexity" in done.stdout


def test_a_finished_run_says_so_and_other_options_are_refused(trained, text):
    same = run("train", "language-model", text, "--out", trained, *SMALL)
    assert same.returncode == 0
    assert "was trained already with these options; nothing was changed." in same.stdout
    other = run("train", "language-model", text, "--out", trained, "--hidden", "17")
    assert other.returncode == 2
    assert "hidden_size: here 16, now 17" in other.stderr
    assert len(other.stderr.splitlines()) == 1


def test_files_of_options(text, tmp_path):
    (tmp_path / "run.toml").write_text("[train]\nlr = 0.01\nepochs = 1\n[model]\nhidden_size = 8\n")
    done = run(
        "train", "language-model", text, "--out", tmp_path / "run", "--config",
        tmp_path / "run.toml", "--set", "train.lr=.02", "--set", "train.clip_norm=none",
        "--set", "train.keep_best=False", "--set", "model.cell=gru", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    params = json.loads((tmp_path / "run" / "config.json").read_text())["params"]
    wanted = {
        "lr": 0.02,
        "epochs": 1,
        "hidden_size": 8,
        "clip_norm": None,
        "cell": "gru",
        "keep_best": False,
    }
    assert {name: params[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "language-model", "no.txt", "--out", "o"], "no.txt: no such file or folder."),
        (["train", "language-model", "{text}", "--out", "o", "--set", "train.lrr=1"],
         "--set: unknown key 'train.lrr'; did you mean 'train.lr'?"),
        (["train", "language-model", "{text}", "--out", "o", "--set", "lr=1"],
         "--set: unknown key 'lr'; did you mean 'train.lr'?"),
        (["train", "language-model", "{text}", "--out", "o", "--set", "train.lr"],
         "--set train.lr: no value; give section.name=value, e.g. train.lr=0.002."),
        (["train", "language-model", "{text}", "--out", "o", "--hidden", "-3"],
         "LSTM: hidden_size=-3; give a whole number above zero."),
        (["train", "language-model", "{text}", "--out", "o", "--hidden", "many"],
         "Invalid value for '--hidden'"),
        (["train", "language-model", "{text}", "--out", "{folder}"],
         "this folder is not a run (it has no config.json); give another folder."),
        (["train", "language-model", "{text}"], "Missing option '--out'."),
        (["generate", "nowhere"], "nowhere: no such run folder; train one with elman train."),
        (["generate", "{text}"], "no such run folder"),
        (["generrate"], "No such command 'generrate'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(arguments, said, text, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "photo").write_text("x")
    names = {"text": text, "folder": tmp_path / "folder"}
    done = run(*[a.format(**names) for a in arguments], cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not (tmp_path / "o").exists()


def test_help_is_quick_and_imports_no_torch():
    times = []
    for _ in range(3):
        start = time.monotonic()
        assert process("--help").returncode == 0
        times.append(time.monotonic() - start)
    assert min(times) < 0.3
    for command in (["--help"], ["doctor", "--help"], ["train", "language-model", "--help"]):
        code = (
            f"import sys; sys.argv = ['elman', *{command!r}]\n"
            "from elman.cli import main\n"
            "try: main()\n"
            "except SystemExit: sys.exit('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "classify", "no", "--out", "o"],
        ["train", "translate", "{text}", "--targets", "no", "--out", "o"],
        ["train", "tag", "{text}", "--validation", "no", "--out", "o"],
        ["train", "regress", "{text}", "--config", "no", "--out", "o"],
        ["evaluate", "run", "no"],
        ["predict", "run", "no", "--out", "o.csv"],
        ["inspect", "run", "no"],
    ],
)
def test_a_file_that_is_not_there_is_told_before_torch_is_imported(arguments, text, tmp_path):
    given = ["elman", *[one.format(text=text) for one in arguments]]
    code = (
        f"import sys; sys.argv = {given!r}\n"
        "from elman.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: sys.exit(end.code + 10 * ('torch' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "elman: no: no such file or folder.\n"
    assert not any(tmp_path.iterdir())


def test_the_version_is_that_of_the_package():
    assert process("--version").stdout == f"elman {elman.__version__}\n"


def test_no_arguments_show_the_help():
    done = process()
    assert done.returncode == 2
    assert "Usage" in done.stdout + done.stderr
    assert done.stderr == run("--help").stdout
    assert done.stdout == ""


def test_what_commands_are_for_is_told_whole_and_the_same_everywhere():
    listed = run("--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    commands = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert len(commands) == 8
    for command, purpose in commands.items():
        done = run(command, "--help")
        assert done.returncode == 0, done.stderr
        assert purpose in " ".join(done.stdout.split())
        assert "..." not in done.stdout.replace("[ARGS]...", "")
    assert run("--help", "train").stdout == run("--help").stdout
    assert "or the next notes of a piece." in " ".join(run("train", "--help").stdout.split())


def test_doctor_says_what_runs_here():
    found = json.loads(run("doctor", "--json").stdout)
    assert found["backends"].endswith("torch, reference")


def test_the_demo(tmp_path):
    done = run("demo", "--out", tmp_path / "demo", "--steps", "3")
    assert done.returncode == 0, done.stderr
    assert "trigram perplexity" in done.stdout
    assert (tmp_path / "demo" / "plots" / "loss.png").is_file()


def test_public_data_sets_are_listed_and_a_copy_is_checked(tmp_path):
    done = run("datasets")
    assert "ud-english-ewt: tag, 17.8 MB, CC BY-SA 4.0" in done.stdout
    done = run("datasets", "ett")
    assert "elman train forecast ETTh1.csv" in done.stdout
    (tmp_path / "ETTh1.csv").write_text("date,OT\n")
    bad = run("datasets", "ett", "--path", tmp_path)
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "ETTh1.csv: another content than ett's" in bad.stderr
    assert "name it" in run("datasets", "--path", tmp_path).stderr
