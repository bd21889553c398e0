"""What the estimators share: scikit-learn's contract, the run folder, and the way from one to the
other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import nn

from elman.diagnostics import Diagnosis, plot_losses
from elman.ops import native_kernels
from elman.train import (
    Checkup,
    Diverged,
    History,
    Run,
    TrainOptions,
    apply_changes,
    check_train_options,
    fit,
    pick_device,
    seed,
    what_to_try,
)

from ._card import model_card
from ._claim import claimed, sign
from ._inspect import Sample, draw_history, inspect_into
from ._options import ModelOptions, check_kinds, check_part, make_layers

# what config.json can hold, by way of elman.train.to_json
_JSON = (int, float, str, dict, list, tuple, np.generic, type(None))


@dataclass(kw_only=True, eq=False, repr=False)
class Estimator(TrainOptions, ModelOptions, BaseEstimator):
    """A task as a scikit-learn estimator; abstract."""

    task: ClassVar[str] = ""
    unit: ClassVar[str] = "sequences"
    # what fit learns; not arguments, and not there before
    module_: Any = field(init=False)
    results_: dict[str, Any] = field(init=False)
    history_: History = field(init=False)
    # None for a model that was fitted in memory alone and not watched
    diagnosis_: Diagnosis | None = field(init=False)

    def _check(self) -> None:
        """Refuses options that cannot be; most of training and of the layers are checked here for
        their kind alone.
        """
        where = type(self).__name__
        check_kinds(self, where)
        check_part(self, where, "dropout", "input_dropout", whole=True)

    @abstractmethod
    def _fitted(self) -> dict[str, Any]:
        """What was learned besides the weights, as JSON."""

    @abstractmethod
    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        """Sets what `_fitted` gave, and `module_` with fresh weights."""

    @contextmanager
    def _begin(self, run: str | Path | None, data: dict[str, Any]) -> Generator[Run | None]:
        """Checks the options and opens the run folder, which no other process may train in until
        the end of the block; None where there is to be none.
        """
        check_train_options(self, type(self).__name__)
        pick_device(self.device)
        # an instruction set that is forced is one of this machine
        native_kernels()
        with torch.device("meta"):
            # the layers check their own options, before a folder is made
            make_layers(self, 1)
        if run is None:
            yield None
            return
        with self._held(run, data) as opened:
            yield opened

    @contextmanager
    def _held(self, path: str | Path, data: dict[str, Any]) -> Generator[Run]:
        """The run folder, for this process alone. One that was made just now is taken away again
        if the data is not fit to train on, or what happens before the first checkpoint leaves
        nothing to go on from: the folder would stand in the way of the mended call.
        """
        with claimed(Path(path)):
            run = self._open(path, data)
            try:
                if not run.finished:
                    sign(run.path)
                yield run
            except BaseException:
                if not _holds_training(run):
                    run.discard()
                raise

    def _open(self, path: str | Path, data: dict[str, Any]) -> Run:
        """Opens the run folder of this estimator, or makes it."""
        params, defaults = self._plain_params(), type(self)()._plain_params()
        return Run.start(path, task=self.task, params=params, data=data, defaults=defaults)

    def _plain_params(self) -> dict[str, Any]:
        """The parameters; what JSON cannot hold, as a function, as it is shown."""
        params = self.get_params(deep=False).items()
        return {name: one if isinstance(one, _JSON) else repr(one) for name, one in params}

    @abstractmethod
    def _sample(self, X: Any, where: str) -> Sample:
        """Sequences of the task to look at the model with."""

    def inspect(self, X: Any, *, folder: str | Path | None = None) -> Diagnosis:
        """Looks at the model's gradient through time on sequences, and says what it means.

        Args:
            X: data as for `fit`, best such as was held out.
            folder: where to write `diagnosis.json` and the pictures (in `plots`); None for nowhere.

        Returns:
            The diagnosis; printing it gives the text.

        Raises:
            sklearn.exceptions.NotFittedError: the model is not trained yet.
            ValueError: the data does not fit.
        """
        self._check_fitted()
        sample = self._sample(X, f"{type(self).__name__}.inspect")
        return inspect_into(self.module_, sample, None if folder is None else Path(folder))

    def _learn(
        self,
        objective: Any,
        batches: Any,
        evaluate: Any,
        run: Run | None,
        progress: bool,
        sample: Callable[[bool], Sample],
    ) -> History:
        """Trains the module that the objective holds.

        Args:
            objective: the module and its loss.
            batches: the data.
            evaluate: gives the validation figures; None for none.
            run: the run folder.
            progress: whether to show a live line.
            sample: gives the sequences to look at the gradient with, and, if told to, how far back
                their answer lies.
        """
        self.module_ = objective.module
        is_watched = self.watch or self.give_up or self.remedy == "auto"
        held = sample(is_watched) if is_watched or run is not None else None
        checkup = None
        if held is not None:
            checkup = Checkup(held.run, needed=held.needed, window=held.window)
        if run is not None:
            run.update(fitted=self._fitted())
        self.history_ = fit(
            objective,
            batches,
            options=self,
            evaluate=evaluate,
            run=run,
            checkup=checkup,
            progress=progress,
            unit=self.unit,
        )
        self._check_converged(run)
        folder = None if run is None else run.path
        self.diagnosis_ = None if held is None else inspect_into(self.module_, held, folder)
        if run is not None:
            draw_history(self.history_, run.path)
            run.update(fitted=self._fitted() | {"changed": self.history_.changed})
        return self.history_

    def _check_converged(self, run: Run | None) -> None:
        """Refuses weights that no figures can be taken of: training ended before it could see that
        its steps lead nowhere.

        Raises:
            Diverged: so it is.
        """
        history = self.history_
        losses = [one["validation_loss"] for one in history.records if "validation_loss" in one]
        if losses:
            # a run's records have null for what is not finite
            last = float("nan") if losses[-1] is None else losses[-1]
            is_lost = not isfinite(last) and not (self.keep_best and isfinite(history.best_loss))
            found = f"the loss on the held-out part is {last:g}"
        else:
            is_lost = not all(bool(one.isfinite().all()) for one in self.module_.parameters())
            found = "some weights are not finite"
        if is_lost:
            saved = run is not None and _holds_training(run)
            raise Diverged(
                f"training: {found} after step {history.steps}, the last one, with lr={self.lr:g}"
                f" and clip_norm={self.clip_norm}. {what_to_try(saved=saved)}",
                history,
            )

    def _finish(self, run: Run | None, results: dict[str, Any]) -> None:
        """Notes the results and completes the run folder."""
        self.results_ = results
        if run is None:
            return
        run.save_weights(self.module_.state_dict())
        (run.path / "plots").mkdir(exist_ok=True)
        plot_losses(self.history_.records, run.path / "plots" / "loss.png")
        self._draw(run.path / "plots")
        run.write_text("README.md", model_card(run, results, self.diagnosis_))
        run.finish(results)

    def _draw(self, folder: Path) -> None:
        """Draws what only this task has to show."""

    def _reopen(self, run: Run) -> None:
        """Takes everything from a finished run."""
        self._restore(run, run.config["fitted"])
        changed = run.config["fitted"].get("changed", {})
        apply_changes(self.module_, changed)
        expected = self.module_.state_dict()
        found = run.weights()
        if {k: v.shape for k, v in expected.items()} != {k: v.shape for k, v in found.items()}:
            raise ValueError(
                f"{run.path}: the weights do not fit the model that config.json describes;"
                " the folder is damaged."
            )
        self.module_.load_state_dict(found)
        self.module_.to(pick_device(self.device)).eval()
        self.results_ = run.config["results"]
        self.history_ = History(run.metrics(), changed=changed)
        self.diagnosis_ = None
        if (run.path / "diagnosis.json").is_file():
            self.diagnosis_ = Diagnosis.from_json(run.read_json("diagnosis.json"))

    def save(self, path: str | Path) -> None:
        """Writes the fitted estimator as a run folder.

        Raises:
            ValueError: the folder exists and is not this estimator's run, or another process
                trains in it.
        """
        self._check_fitted()
        with self._held(path, {}) as run:
            self._write_fitted(run)
            run.update(fitted=self._fitted() | {"changed": self.history_.changed})
            if self.diagnosis_ is not None:
                run.write_json("diagnosis.json", self.diagnosis_.to_json())
            self._finish(run, self.results_)

    def _write_fitted(self, run: Run) -> None:
        """Writes the files of the run that hold what was learned besides the weights."""

    def _check_fitted(self) -> None:
        if "module_" not in vars(self):
            raise NotFittedError(f"{type(self).__name__}: not fitted yet; call fit first.")

    def _seed(self) -> int:
        return seed(self.random_state)

    def _to_device(self, module: nn.Module) -> nn.Module:
        return module.to(pick_device(self.device))

    @property
    def _device(self) -> torch.device:
        return next(self.module_.parameters()).device


def _holds_training(run: Run) -> bool:
    """Whether a run holds a part of a training: a checkpoint, or the weights of one that
    diverged.
    """
    saved = (run.path / "model.safetensors").is_file()
    return saved or (run.checkpoints.is_dir() and any(run.checkpoints.iterdir()))
