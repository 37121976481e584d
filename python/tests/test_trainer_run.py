# SPDX-License-Identifier: Apache-2.0
"""ds.Trainer: exact continuation, checkpoints, memory, precision, what users override."""

import json
import math
import os
import signal

import deepseek as ds
import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("tokenizers")
import small_models  # noqa: E402
from deepseek.models import BertForMaskedLM, BertForSequenceClassification  # noqa: E402

ROWS = small_models.classified(22)


@pytest.fixture
def folder(tmp_path):
    return small_models.save_model(tmp_path / "model", "BertForSequenceClassification")


def load(folder):
    return BertForSequenceClassification.from_pretrained(folder)


def arguments(folder, **changes):
    values = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_strategy": "steps",
        "logging_steps": 1,
    }
    return ds.TrainingArguments(folder, **{**values, **changes})


def weights(model) -> dict:
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


def assert_same(first: dict, second: dict):
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


RESUMED = {
    "plain": {},
    "lengths": {"group_by_length": True},
    "accumulation": {"gradient_accumulation_steps": 2, "logging_steps": 3},
    "epochs": {"logging_strategy": "epoch", "save_steps": 6},
    "sgd": {"optim": "sgd", "optim_args": "momentum=0.9", "lr_scheduler_type": "polynomial"},
    "fp16": {"fp16": True},
    "workers": {"dataloader_num_workers": 1, "save_steps": 6},
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_is_the_same_to_the_bit(tmp_path, name):
    """With dropout, and for masked language models, whose masks are drawn as well."""
    head = (
        "BertForMaskedLM" if name in ("plain", "accumulation") else "BertForSequenceClassification"
    )
    folder = small_models.save_model(tmp_path / "model", head, dropout=True)
    rows = [{k: v for k, v in row.items() if head[7] != "M" or k != "label"} for row in ROWS]
    made = []
    for part in ("whole", "resumed"):
        options = {"save_strategy": "steps", "save_steps": 4, **RESUMED[name]}
        trainer = ds.Trainer(
            getattr(ds.models, head).from_pretrained(folder),
            arguments(tmp_path / "out", num_train_epochs=3, **options),
            train_dataset=rows,
            eval_dataset=rows[:5],
        )
        saved = tmp_path / "out" / f"checkpoint-{options['save_steps']}"
        result = trainer.train(None if part == "whole" else saved)
        made.append((result, weights(trainer.model), trainer.log_history))
    (one, first, logs), (two, second, other) = made
    assert one.global_step == two.global_step
    assert one.training_loss == two.training_loss
    assert_same(first, second)
    timed = ("runtime", "per_second")
    for mine, theirs in zip(logs, other, strict=True):
        assert {k: v for k, v in mine.items() if not k.endswith(timed)} == {
            k: v for k, v in theirs.items() if not k.endswith(timed)
        }


def test_resume_finds_the_last_checkpoint_or_says_what_is_wrong(folder, tmp_path):
    args = arguments(tmp_path / "out", save_strategy="epoch", num_train_epochs=1)
    trainer = ds.Trainer(load(folder), args, train_dataset=ROWS)
    with pytest.raises(ds.IOError, match="no checkpoint to go on from"):
        trainer.train(resume_from_checkpoint=True)
    trainer.train()
    args.num_train_epochs = 2
    again = ds.Trainer(load(folder), args, train_dataset=ROWS)
    again.train(resume_from_checkpoint=True)
    assert again.state.global_step == 12
    saved = tmp_path / "out" / "checkpoint-12"
    with pytest.raises(ds.IOError, match="is no checkpoint: it has no trainer_state.json"):
        again.train(tmp_path)
    kept = ds.load(saved / "training_state.safetensors")
    for changes in (
        {"where": {}},
        {"where": {**kept["where"], "batch": -1}},
        {"optimizer": {"state": {}, "param_groups": [1]}},
        {"random": None},
        {"scheduler": 3},
    ):
        ds.save({**kept, **changes}, saved / "training_state.safetensors")
        with pytest.raises(ds.FileFormatError, match="is no state of a trainer"):
            again.train(saved)
    (saved / "training_state.safetensors").unlink()
    with pytest.raises(ds.IOError, match="has no training_state.safetensors, nor optimizer.pt"):
        again.train(saved)
    for text in ("", "[]", '{"global_step": "x"}', "{" * 5000):
        (saved / "trainer_state.json").write_text(text)
        with pytest.raises(ds.FileFormatError, match="is no state of a trainer"):
            again.train(saved)


def test_damaged_checkpoints_are_told(folder, tmp_path):
    args = arguments(tmp_path / "out", save_strategy="epoch", num_train_epochs=1)
    trainer = ds.Trainer(load(folder), args, train_dataset=ROWS)
    trainer.train()
    path = tmp_path / "out" / "checkpoint-6" / "training_state.safetensors"
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    head = int.from_bytes(whole[:8], "little")
    told = 0
    for _ in range(80):
        damaged = bytearray(whole)
        for place in draw.integers(0, head, draw.integers(1, 4)):
            damaged[place] = draw.integers(256)
        path.write_bytes(
            damaged[: draw.integers(head, len(whole))] if draw.random() < 0.2 else damaged
        )
        try:
            trainer.train(path.parent)
        except ds.Error:
            told += 1
    assert told > 40
    path.write_bytes(whole)
    assert trainer.train(path.parent).global_step == 6


def test_checkpoints_are_limited_and_only_models_on_request(folder, tmp_path):
    args = arguments(
        tmp_path / "out",
        save_strategy="steps",
        save_steps=2,
        save_total_limit=2,
        save_only_model=True,
    )
    ds.Trainer(load(folder), args, train_dataset=ROWS).train()
    names = sorted(p.name for p in (tmp_path / "out").glob("checkpoint-*"))
    assert names == ["checkpoint-10", "checkpoint-12"]
    files = {p.name for p in (tmp_path / "out" / "checkpoint-12").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "trainer_state.json"} <= files
    assert "training_state.safetensors" not in files
    load(tmp_path / "out" / "checkpoint-10")


def test_the_best_checkpoint_is_kept_and_loaded(folder, tmp_path):
    test = small_models.classified(12, 5)
    values = iter([0.5, 0.9, 0.7, 0.6])
    args = arguments(
        tmp_path / "out",
        num_train_epochs=4,
        save_strategy="best",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="score",
    )
    kept = {}

    class Keep(ds.TrainerCallback):
        def on_save(self, args, state, control, model=None, **kwargs):
            kept[state.global_step] = weights(model)

    trainer = ds.Trainer(
        load(folder),
        args,
        train_dataset=ROWS,
        eval_dataset=test,
        compute_metrics=lambda result: {"score": next(values)},
        callbacks=[Keep],
    )
    trainer.train()
    assert list(kept) == [6, 12] and trainer.state.best_metric == 0.9
    assert [p.name for p in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-12"]
    assert_same(kept[12], weights(trainer.model))
    args.metric_for_best_model = "absent"
    with pytest.raises(ds.KeyError, match="'eval_absent' is none of the metrics eval_loss"):
        ds.Trainer(load(folder), args, train_dataset=ROWS, eval_dataset=test).train()


def test_ctrl_c_ends_with_a_checkpoint(folder, tmp_path):
    class Interrupt(ds.TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 3:
                os.kill(os.getpid(), signal.SIGINT)

    args = arguments(tmp_path / "out", num_train_epochs=2)
    trainer = ds.Trainer(load(folder), args, train_dataset=ROWS, callbacks=[Interrupt()])
    before = signal.getsignal(signal.SIGINT)
    assert trainer.train().global_step == 4
    assert signal.getsignal(signal.SIGINT) is before
    rest = ds.Trainer(load(folder), args, train_dataset=ROWS)
    rest.train(resume_from_checkpoint=True)
    whole = ds.Trainer(load(folder), args, train_dataset=ROWS)
    whole.train()
    assert_same(weights(rest.model), weights(whole.model))


class Custom(ds.Trainer):
    """What users override."""

    def create_optimizer(self):
        self.optimizer = ds.optim.SGD(self.model.parameters(), lr=0.05)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        loss = outputs.loss * 2
        return (loss, outputs) if return_outputs else loss

    def get_train_dataloader(self):
        collate = ds.DataCollatorWithPadding(0)
        return [collate(ROWS[i : i + 4]) for i in range(0, 20, 4)]


class Popping(ds.Trainer):
    """A loss as in many tutorials, which takes the labels out of the inputs."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = ds.nn.functional.cross_entropy(outputs.get("logits"), labels)
        return (loss, outputs) if return_outputs else loss


def test_labels_may_be_taken_out(folder, tmp_path):
    args = arguments(tmp_path / "out", gradient_accumulation_steps=2, eval_strategy="epoch")
    runs = []
    for kind in (ds.Trainer, Popping):
        trainer = kind(load(folder), args, train_dataset=ROWS, eval_dataset=ROWS)
        trainer.train()
        metrics = trainer.evaluate()
        runs.append((weights(trainer.model), metrics["eval_loss"], metrics["eval_accuracy"]))
    assert runs[0][1:] == pytest.approx(runs[1][1:], rel=1e-5)
    for name, values in runs[0][0].items():
        np.testing.assert_allclose(values, runs[1][0][name], atol=1e-5, err_msg=name)


def test_overridden_parts_are_used(folder, tmp_path):
    trainer = Custom(load(folder), arguments(tmp_path / "out"), eval_dataset=ROWS)
    before = ds.Trainer(load(folder), trainer.args, eval_dataset=ROWS).evaluate()["eval_loss"]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(2 * before, rel=1e-5)
    result = trainer.train()
    assert result.global_step == 10 and isinstance(trainer.optimizer, ds.optim.SGD)
    # A list has no state: a resumed run goes past the batches that were used.
    args = arguments(tmp_path / "out", save_strategy="steps", save_steps=3)
    whole = Custom(load(folder), args)
    whole.train()
    resumed = Custom(load(folder), args)
    resumed.train(tmp_path / "out" / "checkpoint-3")
    assert_same(weights(whole.model), weights(resumed.model))


def test_loss_function_model_init_and_given_optimizers(folder, tmp_path):
    counted = []

    def loss(outputs, labels, num_items_in_batch=None):
        counted.append(num_items_in_batch)
        total = ds.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum")
        return total / num_items_in_batch

    found = []
    for function, extra in ((None, {}), (loss, {"gradient_accumulation_steps": 2})):
        size = 8 if function is None else 4
        args = arguments(
            tmp_path / "out",
            per_device_train_batch_size=size,
            train_sampling_strategy="sequential",
            **extra,
        )
        trainer = ds.Trainer(
            None,
            args,
            model_init=lambda: load(folder),
            compute_loss_func=function,
            train_dataset=ROWS[:16],
            optimizer_cls_and_kwargs=(ds.optim.SGD, {"lr": 0.1}),
        )
        trainer.train()
        first = weights(trainer.model)
        trainer.train()  # from the start
        assert_same(first, weights(trainer.model))
        found.append(first)
    assert set(counted) == {8}
    for name, values in found[0].items():
        np.testing.assert_allclose(values, found[1][name], atol=1e-6)
    model = load(folder)
    optimizer = ds.optim.SGD(model.parameters(), lr=0.1)
    schedule = ds.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    trainer = ds.Trainer(
        model,
        arguments(tmp_path, max_steps=3),
        train_dataset=ROWS,
        optimizers=(optimizer, schedule),
    )
    trainer.train()
    rates = [log["learning_rate"] for log in trainer.log_history if "learning_rate" in log]
    assert rates == [0.1, 0.05, 0.025]
    with pytest.raises(ds.ValueError, match="give a model, or a function model_init"):
        ds.Trainer(args=args)


def test_what_decays():
    config = ds.models.T5Config(
        vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    model = ds.models.T5ForConditionalGeneration(config)
    model.shared.weight.requires_grad = False
    trainer = ds.Trainer(model, ds.TrainingArguments("out", weight_decay=0.3))
    trainer.create_optimizer()
    decayed, rest = trainer.optimizer.param_groups
    assert decayed["weight_decay"] == pytest.approx(0.3) and rest["weight_decay"] == 0
    import transformers

    theirs = transformers.T5ForConditionalGeneration(transformers.T5Config(**small_models._T5))
    # Theirs names what is tied more than once.
    own = dict(model.named_parameters())
    expected = [n for n in transformers.Trainer.get_decay_parameter_names(None, theirs) if n in own]
    assert set(trainer.get_decay_parameter_names(model)) == set(expected)
    assert len(decayed["params"]) == len(expected) - 1  # the frozen table is in no group


def test_metrics_and_predictions(folder, tmp_path):
    seen = {}

    def metrics(result):
        logits, labels, *more = result
        assert len(more) == 2
        seen.update(logits=logits, labels=labels, inputs=result.inputs, losses=result.losses)
        return {"right": float((logits[:, 0] == labels).mean())}

    args = arguments(tmp_path, per_device_eval_batch_size=5, include_for_metrics=["inputs", "loss"])
    trainer = ds.Trainer(
        load(folder),
        args,
        eval_dataset={"a": ROWS[:12], "b": ROWS[12:]},
        compute_metrics=metrics,
        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1, keepdim=True),
    )
    found = trainer.evaluate()
    assert {"eval_a_loss", "eval_b_loss", "eval_a_right", "eval_b_runtime"} <= set(found)
    assert seen["logits"].shape == (10, 1) and seen["inputs"].shape[0] == 10
    assert seen["losses"].shape == (10,) and seen["labels"].tolist() == [
        row["label"] for row in ROWS[12:]
    ]
    unlabelled = [{"input_ids": row["input_ids"]} for row in ROWS]
    result = trainer.predict(unlabelled)
    assert result.predictions.shape == (22, 1) and result.label_ids is None
    assert "test_loss" not in result.metrics
    labelled = trainer.predict(ROWS, metric_key_prefix="final")
    assert labelled.metrics["final_loss"] > 0 and "final_right" in labelled.metrics
    assert trainer.model.training is False


def test_wishes_of_callbacks(folder, tmp_path):
    class Wish(ds.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_log = state.global_step == 2
            control.should_save = control.should_evaluate = state.global_step == 3
            control.should_epoch_stop = state.global_step == 4
            control.should_training_stop = state.global_step == 7

    args = arguments(tmp_path / "out", logging_strategy="no", eval_strategy="no")
    trainer = ds.Trainer(
        load(folder), args, train_dataset=ROWS, eval_dataset=ROWS, callbacks=[Wish()]
    )
    assert trainer.train().global_step == 7
    logs = trainer.log_history
    assert [log["step"] for log in logs if "loss" in log] == [2]
    assert [log["step"] for log in logs if "eval_loss" in log] == [3]
    assert [p.name for p in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-3"]
    assert trainer.pop_callback(Wish).__class__ is Wish
    trainer.add_callback(ds.EarlyStoppingCallback)
    with pytest.raises(ds.ValueError, match="set that argument and eval_strategy"):
        trainer.train()
    with pytest.raises(TypeError, match="TensorBoard is no TrainerCallback"):
        trainer.add_callback(ds.train.TensorBoard(tmp_path))
    with pytest.raises(ds.ValueError, match="early_stopping_patience 0"):
        ds.EarlyStoppingCallback(0)


def test_tensorboard_has_the_logs(folder, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    args = arguments(tmp_path / "out", report_to="tensorboard", logging_dir=tmp_path / "board")
    trainer = ds.Trainer(load(folder), args, train_dataset=ROWS, eval_dataset=ROWS)
    trainer.train()
    board = EventAccumulator(str(tmp_path / "board")).Reload()
    losses = [log["loss"] for log in trainer.log_history if "loss" in log]
    assert [e.value for e in board.Scalars("train/loss")] == pytest.approx(losses)
    assert [e.step for e in board.Scalars("eval/accuracy")] == [6, 12]


@pytest.mark.parametrize("half", ["bf16", "fp16"])
def test_half_precision_learns(folder, tmp_path, half):
    args = arguments(tmp_path, num_train_epochs=30, logging_strategy="epoch", **{half: True})
    trainer = ds.Trainer(load(folder), args, train_dataset=ROWS, eval_dataset=ROWS)
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] == 1.0
    assert next(trainer.model.parameters()).dtype == ds.float32


@pytest.mark.parametrize("half", [{}, {"bf16": True}, {"fp16": True}])
def test_a_loss_that_is_not_finite_ends_the_run(folder, tmp_path, half):
    class Broken(ds.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return model(**inputs).loss * (math.nan if self.state.global_step >= 2 else 1)

    trainer = Broken(
        load(folder), arguments(tmp_path, num_train_epochs=9, **half), train_dataset=ROWS
    )
    with pytest.raises(ds.NonFiniteError, match="Trainer: the loss is nan at step"):
        trainer.train()


def test_memory_decides_batches_and_recomputation(folder, tmp_path):
    plain = ds.Trainer(load(folder), arguments(tmp_path), train_dataset=ROWS)
    plain.train()
    less = ds.Trainer(
        load(folder), arguments(tmp_path, gradient_checkpointing=True), train_dataset=ROWS
    )
    less.train()
    assert_same(weights(plain.model), weights(less.model))
    assert ds._core._memory_budget() == 0
    args = arguments(
        tmp_path, auto_find_batch_size=True, per_device_train_batch_size=16, memory_budget="120KB"
    )
    trainer = ds.Trainer(load(folder), args, train_dataset=ROWS)
    trainer.train()
    assert trainer.state.train_batch_size in (1, 2, 4, 8)
    assert trainer.state.global_step == 2 * math.ceil(22 / 16)


class SetBudget(ds.TrainerCallback):
    """Sets the memory budget behind some steps; notes the rows of a batch in each."""

    def __init__(self, budgets):
        self.budgets, self.sizes = budgets, []

    def on_step_end(self, args, state, control, **kwargs):
        self.sizes.append(state.train_batch_size)
        if state.global_step in self.budgets:
            ds.memory.budget(self.budgets[state.global_step])


def log_of(trainer):
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]


@pytest.mark.parametrize(("named", "workers"), [(True, 0), (False, 1)])
def test_batches_follow_the_budget_and_losses_stay(folder, tmp_path, named, workers):
    rows = small_models.classified(48)
    run = {"num_train_epochs": 4, "learning_rate": 1e-3, "dataloader_num_workers": workers}
    plain = ds.Trainer(
        load(folder),
        arguments(tmp_path, per_device_train_batch_size=4, gradient_accumulation_steps=4, **run),
        train_dataset=rows,
    )
    plain.train()
    most = {"per_device_train_batch_size": "auto", "effective_batch_size": 16}
    if not named:
        most = {"per_device_train_batch_size": 16, "auto_find_batch_size": True}
    change = SetBudget({1: "120KB", 7: "1GiB"})
    trainer = ds.Trainer(
        load(folder),
        arguments(tmp_path, memory_budget="1GiB", **most, **run),
        train_dataset=rows,
        callbacks=[change],
    )
    trainer.train()
    assert ds._core._memory_budget() == 0
    small = change.sizes[1]
    assert small < 16 == change.sizes[0] and 16 % small == 0
    assert change.sizes == [16] + 8 * [small] + 3 * [16]  # more room counts from the next epoch on
    assert trainer.state.global_step == 12 and trainer.state.epoch == 4
    np.testing.assert_allclose(log_of(trainer), log_of(plain), rtol=2e-4)
    for name, values in weights(plain.model).items():
        np.testing.assert_allclose(weights(trainer.model)[name], values, rtol=1e-3, atol=1e-4)


def test_a_run_of_automatic_batches_goes_on_where_it_stood(folder, tmp_path):
    rows = small_models.classified(48)

    def trainer(**more):
        args = arguments(
            tmp_path,
            num_train_epochs=2,
            learning_rate=1e-3,
            auto_find_batch_size=True,
            per_device_train_batch_size=16,
            save_strategy="steps",
            save_steps=2,
            memory_budget="1GiB",
        )
        return ds.Trainer(load(folder), args, train_dataset=rows, **more)

    whole = trainer(callbacks=[SetBudget({1: "120KB"})])
    whole.train()
    resumed = trainer()
    resumed.train(resume_from_checkpoint=tmp_path / "checkpoint-2")
    assert resumed.state.train_batch_size == 16 > whole.state.train_batch_size
    np.testing.assert_allclose(log_of(resumed), log_of(whole), rtol=2e-4)


def test_streams_need_a_number_of_steps(folder, tmp_path):
    class Rows(ds.data.IterableDataset):
        def __iter__(self):
            return iter(ROWS)

    trainer = ds.Trainer(load(folder), arguments(tmp_path), train_dataset=Rows())
    with pytest.raises(ds.ValueError, match="set max_steps"):
        trainer.train()
    args = arguments(tmp_path, max_steps=9)
    trainer = ds.Trainer(load(folder), args, train_dataset=Rows(), eval_dataset=Rows())
    assert trainer.train().global_step == 9  # over the data again
    assert trainer.evaluate()["eval_loss"] > 0
    with pytest.raises(ds.ValueError, match="give no batch"):
        ds.Trainer(
            load(folder),
            arguments(tmp_path, dataloader_drop_last=True, per_device_train_batch_size=50),
            train_dataset=ROWS,
        ).train()


def test_progress_is_shown(folder, tmp_path, capsys):
    args = arguments(tmp_path, disable_tqdm=False)
    ds.Trainer(load(folder), args, train_dataset=ROWS, eval_dataset=ROWS).train()
    out, err = capsys.readouterr()
    assert out == "" and "eval_accuracy" in err and "train_loss" in err

    class Terminal:
        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

        def isatty(self):
            return True

    terminal = Terminal()
    bar = ds.ProgressCallback(terminal)
    bar.SECONDS = 0
    args.disable_tqdm = True
    trainer = ds.Trainer(load(folder), args, train_dataset=ROWS, callbacks=[bar])
    trainer.train()
    trainer.predict(ROWS)
    assert "evaluating, batch 1 of 3" in terminal.text and "batch 3 of 3" in terminal.text
    assert "step 12/12, epoch 2.00" in terminal.text and "steps/s" in terminal.text
    assert "learning_rate" in capsys.readouterr().out


def test_any_module_that_returns_a_loss(tmp_path):
    class Net(ds.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = ds.nn.Linear(3, 2)

        def forward(self, values, labels=None):
            logits = self.layer(values)
            return {"loss": ds.nn.functional.cross_entropy(logits, labels), "logits": logits}

    rng = np.random.default_rng(0)
    rows = [
        {"values": v, "label": int(v[0] > 0), "other": "x"}
        for v in rng.normal(size=(40, 3)).astype(np.float32)
    ]
    args = arguments(
        tmp_path / "out",
        num_train_epochs=20,
        learning_rate=0.1,
        save_strategy="epoch",
        load_best_model_at_end=True,
    )
    trainer = ds.Trainer(Net(), args, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] > 0.9
    assert json.loads((tmp_path / "out" / "checkpoint-200" / "trainer_state.json").read_text())
    assert (tmp_path / "out" / "model.safetensors").is_file()
    trainer.save_state()
    assert (tmp_path / "out" / "trainer_state.json").is_file()


def test_masked_models_learn_from_raw_text(tmp_path):
    folder = small_models.save_model(tmp_path / "model", "BertForMaskedLM")
    rows = [{"text": "the film was very good"}] * 32
    args = arguments(tmp_path / "out", num_train_epochs=15)
    trainer = ds.Trainer(
        BertForMaskedLM.from_pretrained(folder), args, train_dataset=rows, eval_dataset=rows
    )
    first = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < first / 4


def test_batches_without_labels_count_for_nothing(tmp_path):
    folder = small_models.save_model(tmp_path / "model", "GPT2LMHeadModel")
    silent = [{"input_ids": [5, 6, 7], "labels": [-100] * 3}] * 2
    rows = [*silent, *small_models.spoken(2), *silent]
    args = arguments(
        tmp_path, per_device_train_batch_size=2, per_device_eval_batch_size=2, optim="sgd"
    )
    model = ds.models.GPT2LMHeadModel.from_pretrained(folder)
    trainer = ds.Trainer(model, args, train_dataset=rows, eval_dataset=rows)
    expected = ds.Trainer(model, args, eval_dataset=rows[2:4]).evaluate()["eval_loss"]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected)
    assert math.isfinite(trainer.train().training_loss)
