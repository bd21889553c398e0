"""The commands together, and what a mistake looks like: one line, exit code 2."""

import sys
import warnings
from typing import Any

import typer

from ._datasets import datasets
from ._demo import demo
from ._doctor import doctor
from ._evaluate import evaluate
from ._generate import generate
from ._inspect import inspect
from ._predict import predict
from ._train import train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Recurrent neural networks for people with sequences and an ordinary computer.",
)
app.add_typer(train, name="train")
for _command in (evaluate, predict, generate, inspect, datasets, demo, doctor):
    app.command()(_command)

# the base of all mistakes in options; typer does not export it by name
_UsageError: Any = typer.BadParameter.__base__

_WRONG, _STOPPED, _DIVERGED = 2, 130, 1


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    # a notice is a line, without the place in the code that gave it
    warnings.formatwarning = _notice
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except _UsageError as error:
        # a command without arguments shows its help, which has lines
        said = error.format_message()
        _end(said, _WRONG) if "\n" not in said else _help(said)
    except (KeyboardInterrupt, typer.Abort) as error:
        _end(str(error) or "interrupted.", _STOPPED)
    except OSError as error:
        said = error.strerror or str(error)
        _end(f"{error.filename}: {said}." if error.filename else str(error), _WRONG)
    except (ValueError, TypeError) as error:
        _end(str(error), _WRONG)
    except RuntimeError as error:
        from elman.train import Diverged

        if not isinstance(error, Diverged):
            raise
        _end(str(error), _DIVERGED)


def _notice(message: Warning | str, *_: Any, **__: Any) -> str:
    return f"elman: {' '.join(str(message).split())}\n"


def _help(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.exit(_WRONG)


def _end(text: str, code: int) -> None:
    sys.stderr.write(f"elman: {' '.join(text.split())}\n")
    sys.exit(code)
