"""The commands together, and what a mistake looks like: one line, exit code 2.

What `elman` can do is told without importing a command, or typer.
"""

import os
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._process import own_process

if TYPE_CHECKING:
    import typer

_PURPOSE = "Recurrent neural networks for people with sequences and an ordinary computer."

# every command, the name of its module and of what it holds, and what it is for
_COMMANDS = {
    "train": "Train a model on a file and keep it in a folder.",
    "evaluate": "Measure a trained model on data.",
    "predict": "Write a model's predictions for data: classes, numbers or forecasts.",
    "generate": "Continue a text, or music, with a trained language model.",
    "inspect": "Say how far back a model's gradient reaches, what that means, and what helps.",
    "datasets": "List public data sets: their terms, size, source and command; check a local copy.",
    "demo": "Train a next-word model on the documentation that every Python carries.",
    "doctor": "Show versions, processor, threads and backends.",
}

_WRONG, _STOPPED, _DIVERGED = 2, 130, 1


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    given = sys.argv[1:]
    if given[:1] == ["--help"]:
        sys.stdout.write(_overview())
    elif given[:1] == ["--version"]:
        from elman import __version__

        sys.stdout.write(f"elman {__version__}\n")
    elif not given:
        sys.stderr.write(_overview())
        sys.exit(_WRONG)
    else:
        try:
            with own_process():
                _run(given[0])
        except KeyboardInterrupt as error:
            _end(str(error) or "interrupted.", _STOPPED)


def _overview() -> str:
    width = max(map(len, _COMMANDS))
    commands = "".join(f"  {name:{width}}  {what}\n" for name, what in _COMMANDS.items())
    return (
        f"Usage: elman COMMAND [ARGUMENTS]\n\n  {_PURPOSE}\n\nCommands:\n{commands}\n"
        "elman COMMAND --help tells what a command takes, elman --version which Elman this is.\n"
    )


def _app(command: str) -> "typer.Typer":
    """The command, or all of them where it is none: the nearest is named then."""
    import typer

    app = typer.Typer(
        no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=_PURPOSE,
    )  # fmt: skip
    # typer takes a command that is alone for the whole program unless there is a callback
    app.callback()(lambda: None)
    for name in [command] if command in _COMMANDS else _COMMANDS:
        found = getattr(import_module(f"._{name}", __package__), name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, help=_COMMANDS[name])
        else:
            app.command(name, help=_COMMANDS[name])(found)
    return app


def _run(command: str) -> None:
    import typer

    # the base of all mistakes in options; typer does not export it by name
    usage_error: Any = typer.BadParameter.__base__
    # a notice is a line, without the place in the code that gave it
    warnings.formatwarning = _notice
    try:
        # an app that is called turns a Ctrl-C into an exit code, and what it said is lost
        whole = typer.main.get_command(_app(command))
        with whole.make_context("elman", sys.argv[1:]) as context:
            whole.invoke(context)
        sys.stdout.flush()
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except usage_error as error:
        # a command without arguments shows its help, which has lines
        said = error.format_message()
        _end(said, _WRONG) if "\n" not in said else _help(said)
    except BrokenPipeError:
        # nobody reads on, as behind elman … | head; nor is what is left to be written at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except OSError as error:
        said = error.strerror or str(error)
        _end(f"{error.filename}: {said}." if error.filename else str(error), _WRONG)
    except (ValueError, TypeError) as error:
        _end(str(error), _WRONG)
    except (RuntimeError, MemoryError) as error:
        from elman.train import Diverged

        if isinstance(error, Diverged):
            _end(str(error), _DIVERGED)
        if not _lacks_memory(error):
            raise
        _end("there is not enough memory for this; give a smaller --batch or --hidden.", _WRONG)


def _lacks_memory(error: Exception) -> bool:
    """Whether an allocation failed; torch says so on a CPU by its text alone."""
    is_named = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, MemoryError) or is_named or "can't allocate memory" in str(error)


def _notice(message: Warning | str, *_: Any, **__: Any) -> str:
    return f"elman: {' '.join(str(message).split())}\n"


def _help(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.exit(_WRONG)


def _end(text: str, code: int) -> None:
    sys.stderr.write(f"elman: {' '.join(text.split())}\n")
    sys.exit(code)
