# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of transformers.Trainer, which runs of ds.Trainer go on from."""

import shutil

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models

transformers = pytest.importorskip("transformers")
import small_models  # noqa: E402
from deepseek._trainer import checkpoints  # noqa: E402

ROWS = small_models.classified(24)
COMMON = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-2,
    "train_sampling_strategy": "sequential",
    "save_strategy": "steps",
    "eval_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
}
RUNS = {
    "middle of an epoch": {"save_steps": 8, "weight_decay": 0.1, "warmup_steps": 3},
    "end of an epoch": {"save_steps": 6, "lr_scheduler_type": "cosine"},
    "accumulation": {"save_steps": 2, "gradient_accumulation_steps": 2},
    "momentum": {"save_steps": 8, "optim": "sgd", "optim_args": "momentum=0.9"},
}


def trained(tmp_path, **args):
    """transformers' run of a classifier, its model and folder."""
    pytest.importorskip("accelerate")
    folder = small_models.save_model(tmp_path / "model", "BertForSequenceClassification")
    model = transformers.BertForSequenceClassification.from_pretrained(folder)
    model.accepts_loss_kwargs = False
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(
            str(tmp_path / "theirs"), **{"optim": "adamw_torch", **COMMON, **args}, use_cpu=True
        ),
        processing_class=transformers.BertTokenizerFast(str(folder / "vocab.txt")),
        train_dataset=[dict(row) for row in ROWS],
    )
    trainer.train()
    return trainer, folder


@pytest.mark.parametrize("name", list(RUNS))
def test_a_run_of_transformers_goes_on(tmp_path, name):
    theirs, folder = trained(tmp_path, **RUNS[name])
    mine = ds.Trainer(
        models.BertForSequenceClassification.from_pretrained(folder),
        ds.TrainingArguments(tmp_path / "mine", **COMMON, **RUNS[name]),
        train_dataset=ROWS,
    )
    mine.train(tmp_path / "theirs" / f"checkpoint-{RUNS[name]['save_steps']}")
    assert mine.state.global_step == theirs.state.global_step
    own = dict(mine.model.named_parameters())
    for key, parameter in theirs.model.named_parameters():
        if key.endswith("key.bias"):  # its gradient is rounding error, which Adam makes a step of
            continue
        np.testing.assert_allclose(
            own[key].detach().numpy(), parameter.detach().numpy(), atol=1e-4, err_msg=key
        )


def test_checkpoints_of_another_run_are_told(tmp_path):
    trained(tmp_path, save_steps=6)
    saved = tmp_path / "theirs" / "checkpoint-6"

    def resume(**changes):
        folder = tmp_path / "other"
        shutil.rmtree(folder, ignore_errors=True)
        small_models.save_model(folder, "BertForSequenceClassification", **changes)
        ds.Trainer(
            models.BertForSequenceClassification.from_pretrained(folder),
            ds.TrainingArguments(tmp_path / "mine", **COMMON),
            train_dataset=ROWS,
        ).train(saved)

    with pytest.raises(ds.FileFormatError, match="its groups have .* parameters"):
        resume(num_hidden_layers=2)
    with pytest.raises(ds.FileFormatError, match="exp_avg.* of parameter 0 has the shape"):
        resume(hidden_size=8)
    torch.save([1, 2], saved / "optimizer.pt")
    with pytest.raises(ds.FileFormatError, match="optimizer.pt: is no state of an optimizer"):
        resume()
    for groups in ([{}], [1]):
        torch.save({"state": {}, "param_groups": groups}, saved / "optimizer.pt")
        with pytest.raises(ds.FileFormatError, match="does not fit this run"):
            resume()


CONFIGS = {
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2},
    "qwen3": {"head_dim": 8},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8},
}


@pytest.mark.parametrize("kind", sorted(checkpoints.SAME_ORDER))
def test_parameters_have_the_order_of_transformers(kind):
    """By which an optimizer's state finds them."""
    small = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    small = {**small, "num_attention_heads": 2, "num_key_value_heads": 2, **CONFIGS.get(kind, {})}
    config = transformers.AutoConfig.for_model(kind, **small)
    own = models.AutoConfig.for_model(kind, **small)
    compared = 0
    for auto in (
        "AutoModel",
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
        "AutoModelForMaskedLM",
        "AutoModelForCausalLM",
        "AutoModelForSeq2SeqLM",
    ):
        try:
            with torch.device("meta"):
                theirs = getattr(transformers, auto).from_config(config)
            mine = getattr(models, auto).from_config(own)
        except (ValueError, ds.Error):  # a head that the family does not have
            continue
        assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
        compared += 1
    assert compared >= 2


def test_families_of_another_order_are_refused(tmp_path):
    trained(tmp_path, save_steps=6)
    config = models.RobertaConfig(
        vocab_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        pad_token_id=0,
    )
    mine = ds.Trainer(
        models.RobertaForSequenceClassification(config),
        ds.TrainingArguments(tmp_path / "mine", **COMMON),
        train_dataset=ROWS,
    )
    with pytest.raises(ds.NotImplementedError, match="order of transformers, which is known"):
        mine.train(tmp_path / "theirs" / "checkpoint-6")
