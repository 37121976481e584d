# SPDX-License-Identifier: Apache-2.0
"""Arguments of from_pretrained() and methods of models, against transformers."""

import os

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from test_language_models import FAMILIES, close, upstream

transformers = pytest.importorskip("transformers")

#: Classes with a table of tokens, tied or not, and with biases of words or without.
NAMES = (
    "BertForMaskedLM",
    "RobertaForCausalLM",
    "DistilBertForMaskedLM",
    "AlbertForMaskedLM",
    "GPT2LMHeadModel",
    "LlamaForCausalLM",
    "Qwen2ForCausalLM",
    "BertForSequenceClassification",
)
IDS = np.random.default_rng(2).integers(3, 61, (2, 7))


def pair(name, folder, **changes):
    theirs = upstream(name, **changes).eval()
    theirs.save_pretrained(folder)
    return theirs, getattr(models, name).from_pretrained(folder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [64, 50])
def test_resized_vocabularies_equal_transformers(name, count, tmp_path):
    theirs, mine = pair(name, tmp_path / "first", initializer_range=0.2)
    theirs.resize_token_embeddings(count)
    table = mine.resize_token_embeddings(count)
    assert table.weight.shape[0] == count and mine.config.vocab_size == count
    assert mine.get_input_embeddings().weight is table.weight and str(count) in repr(table)
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    assert mine.num_parameters() == theirs.num_parameters()
    ids = IDS % 50
    t, m = theirs(torch.tensor(ids)).logits, mine(ds.tensor(ids)).logits
    old = min(count, 61) if m.shape[-1] == count else m.shape[-1]
    close(m[..., :old], t[..., :old])
    # transformers draws new rows from a narrow distribution around the mean, and pads some biases.
    new = np.abs(m.detach().numpy() - t.detach().numpy())[..., old:]
    assert new.size == 0 or new.max() < 0.15
    mine.save_pretrained(tmp_path / "second")
    again = getattr(transformers, name).from_pretrained(tmp_path / "second").eval()
    close(m, again(torch.tensor(ids)).logits)
    own = getattr(models, name).from_pretrained(tmp_path / "second")
    assert own(ds.tensor(ids)).logits.tolist() == m.tolist()
    m.sum().backward()
    assert table.weight.grad.shape[0] == count


def test_a_model_of_text_to_text_is_resized(tmp_path):
    sizes = dict(vocab_size=61, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    for tied in (True, False):
        config = models.T5Config(**sizes, decoder_start_token_id=0, tie_word_embeddings=tied)
        model = models.T5ForConditionalGeneration(config).eval()
        model.resize_token_embeddings(62, pad_to_multiple_of=8)
        assert (model.lm_head.weight is model.shared.weight) == tied
        output = model(ds.tensor(IDS), labels=ds.tensor(IDS))
        assert output.logits.shape == (2, 7, 64) and np.isfinite(output.loss.item())


def test_tables_and_heads_are_exchanged(tmp_path):
    _, mine = pair("GPT2LMHeadModel", tmp_path)
    other = ds.nn.Embedding(61, 32)
    mine.set_input_embeddings(other)
    assert mine.get_output_embeddings().weight is other.weight
    head = ds.nn.Linear(32, 61, bias=False)
    mine.set_output_embeddings(head)
    assert mine.lm_head.weight is head.weight
    mine.tie_weights()
    assert mine.lm_head.weight is other.weight
    with pytest.raises(ds.ValueError, match="0 tokens; give a positive integer"):
        mine.resize_token_embeddings(0)
    with pytest.raises(ds.NotImplementedError, match="no table of tokens"):
        models.ViTModel(
            models.ViTConfig(
                hidden_size=8, num_attention_heads=2, num_hidden_layers=0, image_size=16
            )
        ).get_input_embeddings()


@pytest.mark.parametrize("name", [*NAMES, "RobertaForMultipleChoice"])
def test_what_a_model_tells(name, tmp_path):
    theirs, mine = pair(name, tmp_path)
    for model in (theirs, mine):
        next(iter(model.parameters())).requires_grad_(False)
    assert mine.num_parameters() == theirs.num_parameters()
    assert mine.num_parameters(only_trainable=True) == theirs.num_parameters(only_trainable=True)
    words = theirs.num_parameters(exclude_embeddings=True)
    assert mine.num_parameters(exclude_embeddings=True) == words
    buffers = sum(b.numel() * b.element_size() for b in theirs.buffers())
    footprint = mine.get_memory_footprint(return_buffers=False)
    assert footprint == theirs.get_memory_footprint(return_buffers=False) and buffers >= 0
    assert mine.can_generate() == theirs.can_generate()
    assert mine.main_input_name == theirs.main_input_name
    assert str(mine.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1]
    assert mine.device.type == "cpu"


@pytest.mark.parametrize("asked", ["bfloat16", "torch.float16", "auto", ds.bfloat16])
@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_dtypes_of_loaded_models(key, asked, tmp_path):
    upstream("BertModel").to(torch.bfloat16).save_pretrained(tmp_path)
    model = models.AutoModel.from_pretrained(tmp_path, **{key: asked})
    expected = ds.float16 if asked == "torch.float16" else ds.bfloat16
    assert model.dtype == expected
    made = models.AutoModel.from_config(models.BertConfig(**FAMILIES["Bert"]), dtype="float16")
    assert made.dtype == ds.float16


def test_places_and_weights_of_loaded_models(tmp_path):
    theirs = upstream("BertForSequenceClassification")
    theirs.save_pretrained(tmp_path / "sub" / "folder")
    auto = models.AutoModelForSequenceClassification
    for place in ("auto", "cpu", {"": "cpu"}):
        model = auto.from_pretrained(tmp_path, subfolder="sub/folder", device_map=place)
        assert model.device.type == "cpu"
    state = {k: v * 2 for k, v in model.state_dict().items()}
    again = auto.from_pretrained(
        tmp_path / "sub" / "folder", state_dict=state, low_cpu_mem_usage=True, use_cache=False
    )
    name = "bert.pooler.dense.weight"
    assert again.state_dict()[name].tolist() == state[name].tolist()
    assert not hasattr(again.config, "low_cpu_mem_usage") and again.config.use_cache is False


@pytest.mark.parametrize(
    "argument, error, message",
    [
        ({"dtype": "float99"}, ds.ValueError, "dtype 'float99' is unknown"),
        ({"device_map": "cuda"}, ds.DeviceError, "'cuda' is not available"),
        ({"device_map": {"a": "cpu", "b": "ref"}}, ds.NotImplementedError, "several devices"),
        ({"load_in_8bit": True}, ds.NotImplementedError, "no load_in_8bit"),
        ({"quantization_config": {"bits": 4}}, ds.NotImplementedError, "no quantization_config"),
        ({"attn_implementation": "flash_attention_2"}, ds.NotImplementedError, "flash_attention_2"),
        ({"num_label": 3}, ds.ValueError, "no argument 'num_label' and BertConfig no such key"),
    ],
)
def test_arguments_that_cannot_be_met_are_named(argument, error, message, tmp_path):
    upstream("BertModel").save_pretrained(tmp_path)
    with pytest.raises(error, match=message):
        models.AutoModel.from_pretrained(tmp_path, **argument)


def test_outputs_that_the_configuration_asks_for(tmp_path):
    theirs = upstream("BertForSequenceClassification", output_hidden_states=True).eval()
    theirs.save_pretrained(tmp_path)
    auto = models.AutoModelForSequenceClassification
    output = auto.from_pretrained(tmp_path)(ds.tensor(IDS))
    expected = theirs(torch.tensor(IDS)).hidden_states
    for mine, other in zip(output.hidden_states, expected, strict=True):
        close(mine, other)
    model = auto.from_pretrained(tmp_path, output_attentions=True, return_dict=False)
    assert len(model(ds.tensor(IDS))) == 3
    assert model(ds.tensor(IDS), return_dict=True, output_attentions=False).attentions is None


def test_saving_has_the_arguments_of_transformers(tmp_path):
    model = models.BertModel(models.BertConfig(**FAMILIES["Bert"]))
    model.save_pretrained(tmp_path / "a", is_main_process=False)
    assert not (tmp_path / "a").exists()
    for size in ("20KB", "20KiB", "0.02MiB", 20480):
        model.save_pretrained(tmp_path / "b", max_shard_size=size)
        index = tmp_path / "b" / "model.safetensors.index.json"
        assert index.is_file()
    assert len(os.listdir(tmp_path / "b")) > 3
    for size in ("20", "MB", "x5GB"):
        with pytest.raises(ds.ValueError, match="is unknown; write '5GB'"):
            model.save_pretrained(tmp_path / "b", max_shard_size=size)
    with pytest.raises(ds.NotImplementedError, match="would write pickles"):
        model.save_pretrained(tmp_path / "b", safe_serialization=False)
    state = {k: ds.zeros_like(v) for k, v in model.state_dict().items()}
    model.save_pretrained(tmp_path / "c", state_dict=state)
    assert models.BertModel.from_pretrained(tmp_path / "c").pooler.dense.weight.sum().item() == 0


def test_configurations_as_text_and_changes():
    config = models.AutoConfig.for_model("bert", hidden_size=24, num_attention_heads=2)
    assert config.to_diff_dict() == {
        "hidden_size": 24,
        "model_type": "bert",
        "num_attention_heads": 2,
    }
    config.update({"output_attentions": True})
    assert '"output_attentions": true' in config.to_json_string() and config.use_return_dict
    assert config.get_text_config() is config
    assert models.T5Config().is_encoder_decoder and not config.is_encoder_decoder
    with pytest.raises(ds.StateError, match="use its from_pretrained"):
        models.AutoModel()


def test_checkpointing_reaches_the_trainer(tmp_path, monkeypatch):
    model = models.BertForSequenceClassification(models.BertConfig(**FAMILIES["Bert"]))
    rows = [{"input_ids": [2, 5 + i, 3], "label": i % 2} for i in range(4)]
    args = ds.TrainingArguments(output_dir=str(tmp_path), max_steps=2, report_to="none")
    budgets, budget = [], ds.memory.budget
    monkeypatch.setattr(ds.memory, "budget", lambda limit: budgets.append(limit) or budget(limit))
    for enabled in (False, True):
        if enabled:
            model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing == enabled
        ds.Trainer(model=model, args=args, train_dataset=rows).train()
    assert budgets == ["auto"]
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_inputs_of_a_frozen_model_require_gradients(tmp_path):
    _, model = pair("LlamaForCausalLM", tmp_path)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert not model(ds.tensor(IDS)).logits.requires_grad
    model.enable_input_require_grads()
    assert model(ds.tensor(IDS)).logits.requires_grad
