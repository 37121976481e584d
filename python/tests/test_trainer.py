# SPDX-License-Identifier: Apache-2.0
"""ds.Trainer against transformers.Trainer: the same logs, events, checkpoints and weights."""

import dataclasses
import json
import re
from pathlib import Path

import deepseek as ds
import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")
import small_models  # noqa: E402
from deepseek._trainer import arguments, callbacks, schedules  # noqa: E402

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "trainer.md"
OURS = {field.name for field in dataclasses.fields(ds.TrainingArguments)}
THEIRS = {field.name: field for field in dataclasses.fields(transformers.TrainingArguments)}
#: Arguments of ours that transformers has not, or had before version 5.
OWN = {
    "doc_stride",
    "effective_batch_size",
    "max_length",
    "memory_budget",
    "warmup_ratio",
    "group_by_length",
    "logging_dir",
}
#: Defaults that differ, as the guide says.
OTHER_DEFAULTS = {
    "output_dir",
    "optim",
    "eval_strategy",
    "save_strategy",
    "logging_strategy",
    "report_to",
    "disable_tqdm",
    "include_for_metrics",
    "gradient_checkpointing",
}


def side_by_side(tmp_path, head, rows, test=None, tolerance=2e-4, callbacks=((), ()), **args):
    """Trains the same model in both libraries; returns both trainers after comparing their logs
    and weights."""
    pytest.importorskip("accelerate")
    folder = small_models.save_model(tmp_path / "model", head)
    common = {
        "per_device_train_batch_size": 4,
        "train_sampling_strategy": "sequential",
        "learning_rate": 1e-2,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "eval_strategy": "no",
        "save_strategy": "no",
        "disable_tqdm": True,
        **args,
    }
    model = getattr(transformers, head).from_pretrained(folder)
    if head.startswith("Bert"):
        # It takes the number of items and ignores it: the losses of a step would be added up.
        model.accepts_loss_kwargs = False
    pad = transformers.DataCollatorForTokenClassification(
        transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    )
    theirs = transformers.Trainer(
        model,
        transformers.TrainingArguments(
            str(tmp_path / "theirs"),
            use_cpu=True,
            optim=common.pop("optim", "adamw_torch"),
            **common,
        ),
        data_collator=pad if "labels" in rows[0] else None,
        processing_class=transformers.BertTokenizerFast(str(folder / "vocab.txt")),
        train_dataset=[dict(row) for row in rows],
        eval_dataset=test and [dict(row) for row in test],
        callbacks=list(callbacks[0]),
    )
    theirs.train()
    common["optim"] = args.get("optim", "adamw_torch")
    ours = ds.Trainer(
        getattr(ds.models, head).from_pretrained(folder),
        ds.TrainingArguments(tmp_path / "ours", **common),
        train_dataset=rows,
        eval_dataset=test,
        callbacks=list(callbacks[1]),
    )
    ours.train()
    assert len(ours.state.log_history) == len(theirs.state.log_history)
    watched = ("loss", "grad_norm", "learning_rate", "eval_loss", "epoch", "step", "train_loss")
    for mine, other in zip(ours.state.log_history, theirs.state.log_history, strict=True):
        # Ours has no norm where nothing is clipped.
        names = [n for n in watched if n in other and (n != "grad_norm" or n in mine)]
        found = {name: mine[name] for name in names}
        expected = {name: other[name] for name in found}
        assert found == pytest.approx(expected, rel=tolerance, abs=1e-6), mine
    for name, parameter in model.named_parameters():
        if name.endswith("key.bias"):  # its gradient is rounding error, which Adam makes a step of
            continue
        own = dict(ours.model.named_parameters())[name].detach().numpy()
        np.testing.assert_allclose(own, parameter.detach().numpy(), atol=2e-3, err_msg=name)
    return ours, theirs


CASES = {
    "plain": {"num_train_epochs": 2},
    "accumulation": {"gradient_accumulation_steps": 3, "num_train_epochs": 2},
    "part of an epoch": {"num_train_epochs": 1.5, "lr_scheduler_type": "cosine"},
    "steps": {"max_steps": 9, "warmup_steps": 3, "weight_decay": 0.1, "max_grad_norm": 0.3},
    "smoothing": {"label_smoothing_factor": 0.2, "warmup_steps": 0.25},
    "sgd": {"optim": "sgd", "optim_args": "momentum=0.9", "max_grad_norm": 0.0},
    "adagrad": {"optim": "adagrad"},
    "rmsprop": {"optim": "rmsprop"},
    "evaluations": {"eval_strategy": "steps", "eval_steps": 2, "logging_steps": 3},
    "a share": {"eval_strategy": "steps", "eval_steps": 0.5, "eval_on_start": True},
    "epochs": {"eval_strategy": "epoch", "logging_strategy": "epoch", "num_train_epochs": 2},
    "first": {"logging_steps": 4, "logging_first_step": True},
    "plateau": {
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "lr_scheduler_kwargs": {"patience": 0, "threshold": 10.0},
        "eval_strategy": "epoch",
        "num_train_epochs": 3,
        "metric_for_best_model": "loss",
    },
}


@pytest.mark.parametrize("name", CASES)
def test_classification_equals_transformers(tmp_path, name):
    rows, test = small_models.classified(24), small_models.classified(9, 1)
    side_by_side(tmp_path, "BertForSequenceClassification", rows, test, **CASES[name])


@pytest.mark.parametrize("more", [{}, {"label_smoothing_factor": 0.1}])
def test_causal_models_count_tokens_as_transformers_does(tmp_path, more):
    side_by_side(
        tmp_path,
        "GPT2LMHeadModel",
        small_models.spoken(22),
        small_models.spoken(6, 1),
        gradient_accumulation_steps=2,
        eval_strategy="epoch",
        **more,
    )


def test_accumulation_weighs_tokens(tmp_path):
    """Two batches of a step give the gradient of one with all their tokens."""
    folder = small_models.save_model(tmp_path / "model", "GPT2LMHeadModel")
    rows, found = small_models.spoken(8), []
    for size, parts in ((8, 1), (2, 4)):
        model = ds.models.GPT2LMHeadModel.from_pretrained(folder)
        args = ds.TrainingArguments(
            tmp_path / "out",
            per_device_train_batch_size=size,
            gradient_accumulation_steps=parts,
            train_sampling_strategy="sequential",
            num_train_epochs=1,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=0.0,
            save_strategy="no",
            disable_tqdm=True,
        )
        result = ds.Trainer(model, args, train_dataset=rows).train()
        found.append((result.training_loss, model.transformer.wte.weight.detach().numpy()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-6)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder)
    batch = {k: torch.tensor([row[k] for row in rows]) for k in rows[0]}
    assert theirs(**batch).loss.item() == pytest.approx(found[0][0], rel=1e-5)


class Recorder:
    """Every event, as a callback of either library."""

    def __init__(self):
        self.events = []

    def __getattr__(self, name):
        if name not in callbacks.EVENTS:
            raise AttributeError(name)

        def event(args, state, control, **kwargs):
            self.events.append((name, state.global_step, round(state.epoch or 0, 4)))

        return event


class TheirRecorder(transformers.TrainerCallback):
    def __init__(self):
        self.events = []


for _name in callbacks.EVENTS:

    def _event(self, args, state, control, _name=_name, **kwargs):
        self.events.append((_name, state.global_step, round(state.epoch or 0, 4)))

    setattr(TheirRecorder, _name, _event)


def test_best_model_early_stopping_and_events(tmp_path):
    mine, other = Recorder(), TheirRecorder()
    stop, their_stop = ds.EarlyStoppingCallback(2), transformers.EarlyStoppingCallback(2)
    ours, theirs = side_by_side(
        tmp_path,
        "BertForSequenceClassification",
        small_models.classified(20),
        small_models.classified(10, 3),
        callbacks=((their_stop, other), (stop, mine)),
        learning_rate=0.1,
        num_train_epochs=12,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        gradient_accumulation_steps=2,
    )
    assert ours.state.global_step < 12 * 3
    assert mine.events == other.events
    assert ours.state.best_global_step == theirs.state.best_global_step
    assert ours.state.best_metric == pytest.approx(theirs.state.best_metric, rel=1e-3)
    names = [
        sorted(p.name for p in (tmp_path / n).glob("checkpoint-*")) for n in ("ours", "theirs")
    ]
    assert names[0] == names[1] and len(names[0]) == 2
    best = tmp_path / "ours" / f"checkpoint-{ours.state.best_global_step}"
    assert ours.state.best_model_checkpoint == str(best)
    last = max((tmp_path / "ours").glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    state = transformers.TrainerState.load_from_json(last / "trainer_state.json")
    assert state.global_step == ours.state.global_step
    assert state.log_history == ours.state.log_history[: len(state.log_history)]
    assert callbacks.TrainerState.load_from_json(
        next((tmp_path / "theirs").glob("checkpoint-*")) / "trainer_state.json"
    ).log_history
    again = ds.models.BertForSequenceClassification.from_pretrained(tmp_path / "ours")
    kept = ds.models.BertForSequenceClassification.from_pretrained(best)
    for name, parameter in again.named_parameters():
        assert (parameter == dict(kept.named_parameters())[name]).all()
        assert (parameter == dict(ours.model.named_parameters())[name]).all()


OPTIONS = {
    "cosine": [{}, {"num_cycles": 1.5}],
    "cosine_with_restarts": [{}, {"num_cycles": 3}],
    "polynomial": [{}, {"power": 2.0, "lr_end": 1e-3}],
    "inverse_sqrt": [{}, {"timescale": 7}],
    "cosine_with_min_lr": [{"min_lr": 1e-3}, {"min_lr_rate": 0.3}],
    "cosine_warmup_with_min_lr": [{"min_lr": 1e-3}, {"min_lr_rate": 0.2, "warmup_lr_rate": 0.1}],
    "warmup_stable_decay": [
        {"num_decay_steps": 5},
        {"num_decay_steps": 4, "num_stable_steps": 6, "min_lr_ratio": 0.1, "decay_type": "cosine"},
        {"num_decay_steps": 6, "warmup_type": "cosine", "decay_type": "1-sqrt"},
        {"num_decay_steps": 6, "warmup_type": "1-sqrt"},
    ],
}


@pytest.mark.parametrize("name", [s for s in schedules.SCHEDULES if s != "reduce_lr_on_plateau"])
def test_schedules_equal_transformers(name):
    for warmup in (0, 4):
        for options in OPTIONS.get(name, [{}]):
            ours = ds.optim.SGD([ds.nn.Parameter(ds.ones(1))], lr=0.05)
            theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.05)
            mine = schedules.make_scheduler(name, ours, warmup, 20, options)
            other = transformers.get_scheduler(name, theirs, warmup, 20, dict(options))
            for step in range(24):
                rate = mine.get_last_lr()[0]
                assert rate == pytest.approx(other.get_last_lr()[0], abs=1e-9), (options, step)
                theirs.step()
                mine.step()
                other.step()
    with pytest.raises(ds.ValueError, match=f"lr_scheduler_kwargs of '{name}'"):
        schedules.make_scheduler(name, ours, 0, 20, {"unheard_of": 1})


FUNCTIONS = {
    "get_constant_schedule": {},
    "get_constant_schedule_with_warmup": {"num_warmup_steps": 3},
    "get_linear_schedule_with_warmup": {"num_warmup_steps": 3, "num_training_steps": 9},
    "get_cosine_schedule_with_warmup": {
        "num_warmup_steps": 3,
        "num_training_steps": 9,
        "num_cycles": 1.5,
    },
    "get_cosine_with_hard_restarts_schedule_with_warmup": {
        "num_warmup_steps": 0,
        "num_training_steps": 9,
        "num_cycles": 2,
    },
    "get_polynomial_decay_schedule_with_warmup": {
        "num_warmup_steps": 2,
        "num_training_steps": 9,
        "lr_end": 1e-3,
        "power": 2.0,
    },
    "get_inverse_sqrt_schedule": {"num_warmup_steps": 3, "timescale": 5},
}


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_functions_of_schedules_equal_transformers(name):
    ours = ds.optim.SGD([ds.nn.Parameter(ds.ones(1))], lr=0.05)
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.05)
    mine = getattr(ds, name)(ours, **FUNCTIONS[name])
    other = getattr(transformers, name)(theirs, **FUNCTIONS[name])
    for _ in range(12):
        assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), abs=1e-9)
        theirs.step()
        mine.step()
        other.step()


def test_schedules_by_name_say_what_they_need():
    optimizer = ds.optim.SGD([ds.nn.Parameter(ds.ones(1))], lr=0.05)
    rate = ds.get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=4)
    rate.step()
    assert rate.get_last_lr() == pytest.approx([0.0375])
    with pytest.raises(ds.ValueError, match="'linear' needs num_training_steps"):
        ds.get_scheduler("linear", optimizer, 0)
    with pytest.raises(ds.ValueError, match="'cosine' needs num_warmup_steps"):
        ds.get_scheduler("cosine", optimizer)
    with pytest.raises(ds.ValueError, match="'line' is unknown; use linear"):
        ds.get_scheduler("line", optimizer)


def test_who_says_how_often_means_steps():
    args = ds.TrainingArguments("out", save_steps=10, logging_steps=5, eval_steps=20)
    strategies = args.save_strategy, args.logging_strategy, args.eval_strategy
    assert strategies == ("steps", "steps", "steps")
    args = ds.TrainingArguments("out", save_steps=10, save_strategy="epoch")
    assert (args.save_strategy, args.logging_strategy) == ("epoch", "epoch")


def test_every_argument_of_transformers_is_known(tmp_path):
    refused = set(arguments.UNSUPPORTED) | arguments.WITHOUT_EFFECT
    assert set(THEIRS) <= OURS | refused
    assert not OURS & refused and not set(arguments.UNSUPPORTED) & arguments.WITHOUT_EFFECT
    assert OURS - set(THEIRS) == OWN
    theirs, ours = transformers.TrainingArguments(str(tmp_path)), ds.TrainingArguments(tmp_path)
    for name in sorted(OURS - OWN - OTHER_DEFAULTS):
        value = THEIRS[name].default
        if value is dataclasses.MISSING:
            value = THEIRS[name].default_factory()
        value = getattr(value, "value", value)
        default = next(f.default for f in dataclasses.fields(ours) if f.name == name)
        assert default == value or not default and not value, name
    # What asks for nothing is accepted, as scripts that list all their arguments pass it.
    same = {n: getattr(theirs, n) for n in arguments.UNSUPPORTED if n in THEIRS}
    del same["accelerator_config"]  # an object by now
    ds.TrainingArguments(tmp_path, **same)
    for name in arguments.UNSUPPORTED:
        with pytest.raises(ds.ValueError, match=f"{name}='wanted' is not supported"):
            ds.TrainingArguments(tmp_path, **{name: "wanted"})


def test_the_guide_lists_every_argument():
    listed = re.findall(r"`(\w+)`", GUIDE.read_text())
    assert OURS | set(arguments.UNSUPPORTED) | arguments.WITHOUT_EFFECT <= set(listed)
    assert set(schedules.SCHEDULES) | set(schedules.OPTIMIZERS) <= set(listed)


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"learning_rat": 1}, TypeError, "'learning_rat' is unknown; is learning_rate meant"),
        ({"evaluation_strategy": "no"}, TypeError, "is eval_strategy meant"),
        ({"eval_strategy": "sometimes"}, ds.ValueError, "use no, steps, epoch"),
        ({"num_train_epochs": -1}, ds.ValueError, "num_train_epochs -1"),
        ({"per_device_train_batch_size": 0}, ds.ValueError, "positive integer"),
        ({"logging_steps": 1.5}, ds.ValueError, "logging_steps 1.5"),
        ({"label_smoothing_factor": 1.0}, ds.ValueError, "label_smoothing_factor"),
        ({"max_steps": 0}, ds.ValueError, "max_steps 0"),
        ({"bf16": True, "fp16": True}, ds.ValueError, "not both"),
        ({"effective_batch_size": 8}, ds.ValueError, "belongs to"),
        ({"report_to": "wandb"}, ds.ValueError, "'wandb' is not supported"),
        ({"deepspeed": {"stage": 3}}, ds.ValueError, "deepspeed=.* use memory_budget"),
        ({"load_best_model_at_end": True, "eval_strategy": "no"}, ds.ValueError, "set eval_str"),
        ({"load_best_model_at_end": True, "save_strategy": "steps"}, ds.ValueError, "to be eval"),
        ({"optim": "adamw_bnb_8bit"}, ds.ValueError, "optim 'adamw_bnb_8bit' is unknown"),
        ({"include_for_metrics": ["x"]}, ds.ValueError, "include_for_metrics"),
        ({"train_sampling_strategy": "best"}, ds.ValueError, "train_sampling_strategy"),
    ],
)
def test_arguments_that_make_no_sense(values, error, text):
    with pytest.raises(error, match=text):
        ds.TrainingArguments("out", **values)


def test_arguments_are_json(tmp_path):
    values = ds.TrainingArguments(tmp_path, logging_steps=3).to_dict()
    assert json.loads(json.dumps(values))["logging_steps"] == 3
    enum = transformers.trainer_utils.IntervalStrategy.STEPS
    assert ds.TrainingArguments(tmp_path, save_strategy=enum).save_strategy == "steps"


def test_what_callers_of_transformers_ask_a_trainer(tmp_path):
    folder = small_models.save_model(tmp_path / "model", "BertForSequenceClassification")
    model = ds.models.AutoModelForSequenceClassification.from_pretrained(folder)
    rows = [{"input_ids": [1, 2, 3], "labels": i % 2} for i in range(6)]
    args = ds.TrainingArguments(tmp_path, per_device_train_batch_size=4, max_steps=1, no_cuda=True)
    assert (args.train_batch_size, args.eval_batch_size) == (4, 8)
    assert json.loads(args.to_json_string())["max_steps"] == 1
    with pytest.raises(TypeError, match="'tokenizer' is unknown; give it as processing_class"):
        ds.Trainer(model, args, tokenizer=None)
    trainer = ds.Trainer(model, args, train_dataset=rows)
    with pytest.raises(ValueError, match="call train"):
        trainer.get_learning_rates()
    assert trainer.num_examples(trainer.get_train_dataloader()) == 6
    assert trainer.is_world_process_zero() and trainer.is_local_process_zero()
    trainer.train()
    assert len(trainer.get_learning_rates()) == len(trainer.optimizer.param_groups)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert trainer.get_num_trainable_parameters() == theirs.num_parameters(only_trainable=True)


def test_set_seed_is_for_numpy_and_python_too():
    import random

    def drawn():
        return ds.rand(1).item(), np.random.rand(), random.random()

    ds.set_seed(3)
    first = drawn()
    assert drawn() != first
    ds.set_seed(3)
    assert drawn() == first
