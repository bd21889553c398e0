"""What a Ctrl-C gets wherever it comes, and an output that nobody reads."""

import contextlib
import importlib
import os
import subprocess

import pytest
from command import ELMAN

from elman.cli import main
from elman.train import Interrupted

SAVED = "interrupted at step 7; saved in o; the same command goes on."


def _raises(error):
    def stopped(*_, **__):
        raise error

    return stopped


@pytest.fixture
def same_process(monkeypatch):
    module = importlib.import_module("elman.cli._main")
    monkeypatch.setattr(module, "own_process", contextlib.nullcontext)
    monkeypatch.setattr("warnings.formatwarning", None)


@pytest.mark.parametrize(
    ("where", "arguments", "error", "said"),
    [
        ("_doctor.show", "doctor", KeyboardInterrupt(), "interrupted."),
        ("_train._run", "train tag {} --out o", Interrupted(SAVED), SAVED),
        ("_main._app", "doctor", KeyboardInterrupt(), "interrupted."),
    ],
)
def test_a_ctrl_c_is_one_line(
    where, arguments, error, said, same_process, monkeypatch, capsys, tmp_path
):
    module, name = where.split(".")
    monkeypatch.setattr(importlib.import_module(f"elman.cli.{module}"), name, _raises(error))
    monkeypatch.setattr("sys.argv", ["elman", *arguments.format(tmp_path).split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err == f"elman: {said}\n"


def test_an_output_that_nobody_reads_ends_the_command_in_silence():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [ELMAN, "doctor", "--help"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
