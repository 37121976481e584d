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
from deepseek._trainer import upstream_order  # noqa: E402
from deepseek.models.language import FAMILIES  # noqa: E402

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


#: Keys of small models, as far as a family has them.
SMALL = {
    "vocab_size": 20,
    **dict.fromkeys(("hidden_size", "n_embd", "dim", "d_model", "embedding_size"), 16),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "d_ff", "ffn_dim"), 16),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 2),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok"), 2),
    **dict.fromkeys(("head_dim", "d_kv"), 8),
    **{"image_size": 32, "patch_size": 8, "pad_token_id": 0},
}
#: Families whose keys of these names mean something else, or must fit others.
OTHERS = {
    "gpt_neo": {"num_layers": 1, "attention_types": [[["global"], 1]]},
    "gptj": {"rotary_dim": 8},
    "efficientnet": {"hidden_dim": 2560},
    "dinov2": {"use_swiglu_ffn": True, "use_mask_token": True},
    "swin": {"use_absolute_embeddings": True},
    "beit": {
        **{"use_relative_position_bias": True, "use_mask_token": True},
        **{"num_hidden_layers": 4, "out_indices": [1, 2, 3, 4]},
    },
}


def small_config(kind):
    known = transformers.AutoConfig.for_model(kind).to_dict()
    fits = {k: v for k, v in SMALL.items() if type(known.get(k, "")) in (int, type(None))}
    return {**fits, **OTHERS.get(kind, {})}


@pytest.mark.parametrize("kind", sorted(upstream_order.ORDERS))
def test_parameters_have_the_order_of_transformers(kind):
    """By which an optimizer's state finds them; and the same ones decay."""
    values = small_config(kind)
    compared = 0
    for made in FAMILIES[kind].values():
        upstream = getattr(transformers, made.__name__, None)
        if upstream is None:
            continue
        with torch.device("meta"):
            theirs = upstream(upstream.config_class(**values))
        mine = made(made.config_class(**values))
        named = dict(mine.named_parameters(remove_duplicate=False))
        seen, found = set(), []
        for name in upstream_order.names_in_order(list(named), kind):
            if id(named[name]) not in seen:
                found.append(name)
            seen.add(id(named[name]))
        assert found == [name for name, _ in theirs.named_parameters()], made.__name__
        there = {name for name, _ in theirs.named_parameters(remove_duplicate=False)}
        decayed = there & {*transformers.Trainer.get_decay_parameter_names(None, theirs)}
        own = {id(named[name]) for name in ds.Trainer.get_decay_parameter_names(None, mine)}
        assert {name for name, p in named.items() if id(p) in own} == decayed, made.__name__
        compared += 1
    assert compared >= 1


@pytest.mark.parametrize("name", ["Roberta", "OPT", "ViT"])
def test_runs_of_families_of_another_order_go_on(name, tmp_path):
    """Two epochs by transformers are one by it and one by ours."""
    pytest.importorskip("accelerate")
    head = f"{name}For{'Image' if name == 'ViT' else 'Sequence'}Classification"
    upstream = getattr(transformers, head)
    kind = upstream.config_class.model_type
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "dropout": 0.0}
    values = {**small_config(kind), **still}
    if name != "ViT":
        values["max_position_embeddings"] = 40
    torch.manual_seed(0)
    theirs = upstream(upstream.config_class(**values))
    theirs.save_pretrained(tmp_path / "model")
    rng = np.random.default_rng(0)
    rows = [{"input_ids": rng.integers(3, 20, 8), "labels": i % 2} for i in range(len(ROWS))]
    if name == "ViT":
        pixels = rng.standard_normal((len(ROWS), 3, 32, 32)).astype(np.float32)
        rows = [{"pixel_values": x, "labels": i % 2} for i, x in enumerate(pixels)]
    arguments = {**COMMON, "save_steps": 6, "weight_decay": 0.1, "optim": "adamw_torch"}
    theirs.accepts_loss_kwargs = False
    trainer = transformers.Trainer(
        theirs,
        transformers.TrainingArguments(str(tmp_path / "theirs"), use_cpu=True, **arguments),
        train_dataset=rows,
    )
    trainer.train()
    mine = ds.Trainer(
        getattr(models, head).from_pretrained(tmp_path / "model"),
        ds.TrainingArguments(tmp_path / "mine", **arguments),
        train_dataset=rows,
    )
    mine.train(tmp_path / "theirs" / "checkpoint-6")
    own = dict(mine.model.named_parameters())
    for key, parameter in theirs.named_parameters():
        if key.endswith(("key.bias", "k_proj.bias")):  # their gradients are rounding errors
            continue
        np.testing.assert_allclose(
            own[key].detach().numpy(), parameter.detach().numpy(), atol=1e-4, err_msg=key
        )


def test_families_of_an_unknown_order_are_refused(tmp_path):
    trained(tmp_path, save_steps=6)
    folder = tmp_path / "theirs" / "checkpoint-6"
    model = models.BertForSequenceClassification.from_pretrained(folder)
    model.config.__class__ = type("OwnConfig", (models.BertConfig,), {"model_type": "own"})
    mine = ds.Trainer(model, ds.TrainingArguments(tmp_path / "mine", **COMMON), train_dataset=ROWS)
    with pytest.raises(ds.NotImplementedError, match="order of transformers, which is known"):
        mine.train(folder)
