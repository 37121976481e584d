# SPDX-License-Identifier: Apache-2.0
"""Trainer.hyperparameter_search(): several runs with other arguments, and the best of them."""

from __future__ import annotations

import copy
import inspect
import math
import os
import random
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .. import _core
from .callbacks import TrainerCallback

BACKENDS = ("optuna", "random")


class BestRun(NamedTuple):
    """What the search found: the number of the run, its objective and its hyperparameters;
    run_summary is None."""

    run_id: str
    objective: float
    hyperparameters: dict
    run_summary: object = None


class Trial:
    """One run of a random search; the methods are those of a trial of optuna."""

    def __init__(self, number: int, seed: int):
        self.number, self.params = number, {}
        self._random = random.Random(f"{seed} {number}")

    def _checked(self, name: str, low, high, log: bool) -> None:
        if not low <= high or (log and low <= 0):
            above = " above 0" if log else ""
            raise _core.ValueError(
                f"hyperparameter_search: '{name}' from {low!r} to {high!r} is no range{above}"
            )

    def suggest_float(self, name: str, low, high, *, step=None, log: bool = False) -> float:
        """A number of a range; log: every order of magnitude is as likely."""
        self._checked(name, low, high, log)
        if step is not None:
            found = low + step * self._random.randint(0, int((high - low) / step + 1e-9))
        elif log:
            found = math.exp(self._random.uniform(math.log(low), math.log(high)))
        else:
            found = self._random.uniform(low, high)
        return self.params.setdefault(name, min(max(found, low), high))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False):
        """An integer of a range, both ends included."""
        self._checked(name, low, high, log)
        if log:
            found = round(math.exp(self._random.uniform(math.log(low), math.log(high))))
        else:
            found = low + step * self._random.randint(0, (high - low) // step)
        return self.params.setdefault(name, min(max(found, low), high))

    def suggest_categorical(self, name: str, choices: Sequence):
        """One of the choices."""
        if not choices:
            raise _core.ValueError(f"hyperparameter_search: '{name}' has no choices")
        return self.params.setdefault(name, self._random.choice(list(choices)))

    def report(self, value: float, step: int) -> None:
        """Nothing: a random search ends no run early."""

    def should_prune(self) -> bool:
        """False."""
        return False


def default_space(trial) -> dict:
    """What is searched where hp_space is left out, as in transformers."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True),
        "num_train_epochs": trial.suggest_int("num_train_epochs", 1, 5),
        "seed": trial.suggest_int("seed", 1, 40),
        "per_device_train_batch_size": trial.suggest_categorical(
            "per_device_train_batch_size", [4, 8, 16, 32, 64]
        ),
    }


def default_objective(metrics: dict) -> float:
    """The sum of the metrics, or the loss where there is nothing else."""
    speed = ("_runtime", "_per_second")
    found = {k: v for k, v in metrics.items() if k != "epoch" and not k.endswith(speed)}
    loss = found.pop("eval_loss", None)
    return sum(found.values()) if found else loss


class _Watch(TrainerCallback):
    """Takes the objective of every evaluation, and ends runs that promise nothing."""

    def __init__(self, trial, objective: Callable, pruned: type | None):
        self._trial, self._objective, self._pruned = trial, objective, pruned
        self.value = None

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if "eval_loss" not in metrics:  # one of several data sets
            return
        self.value = self._objective(metrics)
        if self._pruned is not None:
            self._trial.report(self.value, step=state.global_step)
            if self._trial.should_prune():
                raise self._pruned()


def _library(backend: str | None):
    """The package optuna, or None for a random search."""
    backend = getattr(backend, "value", backend)
    if backend == "random":
        return None
    if backend not in (None, "optuna"):
        raise _core.ValueError(
            f"hyperparameter_search: the backend {backend!r} is unknown; use {', '.join(BACKENDS)}"
        )
    try:
        import optuna
    except ImportError as error:
        if backend is None:
            return None
        raise _core.NotImplementedError(
            "hyperparameter_search: the package `optuna` is not installed; run pip install optuna, "
            "or pass backend='random'"
        ) from error
    return optuna


class HyperparameterSearch:
    """hyperparameter_search() of Trainer."""

    def hyperparameter_search(
        self,
        hp_space: Callable | None = None,
        compute_objective: Callable | None = None,
        n_trials: int = 20,
        direction: str = "minimize",
        backend: str | None = None,
        hp_name: Callable | None = None,
        **options,
    ) -> BestRun:
        """Trains n_trials models of model_init with arguments that hp_space(trial) names, and
        returns the best run. Each leaves its model in output_dir/run-NUMBER.

        hp_space: returns arguments by name, drawn by trial.suggest_float(), suggest_int() and
        suggest_categorical(); by default rate, epochs, seed and batch size. A model_init with an
        argument gets the trial too. compute_objective: makes a number of the metrics of an
        evaluation; by default their sum, or the loss where compute_metrics is not given.
        direction: "minimize" or "maximize" that. backend: "optuna", where options are those of its
        create_study(), with timeout; "random"; by default optuna where it is installed.
        hp_name(trial): another name of a run's folder.

        ValueError without model_init or data to evaluate, and for unknown arguments."""
        if self.model_init is None:
            raise _core.ValueError(
                "hyperparameter_search: every run begins with a new model; give Trainer a function "
                "model_init instead of a model"
            )
        if self.eval_dataset is None:
            raise _core.ValueError(
                "hyperparameter_search: give Trainer an eval_dataset to judge by"
            )
        if direction not in ("minimize", "maximize"):
            raise _core.ValueError(
                f"hyperparameter_search: direction {direction!r} must be 'minimize' or 'maximize'"
            )
        library = _library(backend)
        objective = compute_objective or self._objective(direction)
        args = self.args

        def run(trial) -> float:
            return self._tried(trial, hp_space or default_space, objective, hp_name, library)

        try:
            if library is not None:
                return _with_optuna(library, run, n_trials, direction, options)
            for name in options:
                raise TypeError(f"hyperparameter_search: a random search has no option '{name}'")
            return self._at_random(run, n_trials, direction)
        finally:
            self.args = args
            self._limit = self._longest()

    def _objective(self, direction: str) -> Callable:
        """default_objective(), of the loss alone where compute_metrics is not given: a classifier's
        accuracy would be added to nothing, and grows as the loss falls."""
        if self.compute_metrics is not None:
            return default_objective
        if direction == "maximize":
            raise _core.ValueError(
                "hyperparameter_search: the loss can only be minimized; give compute_objective, or "
                "Trainer compute_metrics, for something to maximize"
            )
        return lambda metrics: metrics["eval_loss"]

    def _at_random(self, run: Callable, count: int, direction: str) -> BestRun:
        if not isinstance(count, int) or count < 1:
            raise _core.ValueError(
                f"hyperparameter_search: n_trials {count!r} must be a positive integer"
            )
        sign, best = (1 if direction == "minimize" else -1), None
        for number in range(count):
            trial = Trial(number, self.args.seed)
            value = run(trial)
            if best is None or sign * value < sign * best.objective:
                best = BestRun(str(number), value, dict(trial.params))
        return best

    def _tried(self, trial, space, objective, name, library) -> float:
        """The objective of one run."""
        base, values = self.args, space(trial)
        try:
            self.args = self._changed(values, trial)
            run = f"run-{trial.number}" if name is None else name(trial)
            self.args.output_dir = os.path.join(base.output_dir, run)
            self.args.logging_dir = os.path.join(self.args.output_dir, "runs")
            self._limit, self._trial = self._longest(), trial
            watch = _Watch(trial, objective, library and library.TrialPruned)
            self.add_callback(watch)
            try:
                self.train()
                if watch.value is None:
                    self.args.eval_strategy = "no"
                    watch.value = objective(self.evaluate())
            finally:
                self.remove_callback(watch)
        finally:
            self.args, self._trial = base, None
        if not self.args.disable_tqdm:
            shown = ", ".join(f"{key} {value}" for key, value in values.items())
            sys.stderr.write(f"run {trial.number}: objective {watch.value:.4g} with {shown}\n")
        return watch.value

    def _changed(self, values: dict, trial):
        """The arguments with other values; names that only model_init knows are left out."""
        changed = copy.copy(self.args)
        takes_trial = bool(inspect.signature(self.model_init).parameters)
        for name, value in values.items():
            if hasattr(changed, name):
                setattr(changed, name, value)
            elif not takes_trial:
                raise _core.ValueError(
                    f"hyperparameter_search: hp_space names '{name}', which is no argument of "
                    "TrainingArguments; model_init(trial) may use it"
                )
        changed._check()
        changed._complete()
        return changed


def _with_optuna(library, run, count, direction, options) -> BestRun:
    if options.pop("n_jobs", 1) != 1:
        raise _core.ValueError(
            "hyperparameter_search: n_jobs is not supported, runs share the trainer; start several "
            "programs with one storage instead"
        )
    timeout = options.pop("timeout", None)
    study = library.create_study(direction=direction, **options)
    study.optimize(run, n_trials=count, timeout=timeout)
    best = study.best_trial
    return BestRun(str(best.number), best.value, dict(best.params))
