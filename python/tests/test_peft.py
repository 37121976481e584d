# SPDX-License-Identifier: Apache-2.0
"""LoRA adapters against the package peft: files in both directions, outputs, loss, gradients."""

import copy
import json
import pickle
import warnings

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from deepseek.peft import (
    AutoPeftModelForCausalLM,
    LoraConfig,
    PeftModel,
    TaskType,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.numpy import load_file, save_file

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

SMALL = dict(vocab_size=31, hidden_size=16, num_attention_heads=2, num_hidden_layers=2)
ENCODER = {**SMALL, "intermediate_size": 24, "max_position_embeddings": 40, "num_labels": 3}
DECODER = {**SMALL, "intermediate_size": 24, "max_position_embeddings": 40}
GPT2 = dict(vocab_size=31, n_embd=16, n_head=2, n_layer=2, n_positions=40)
T5 = dict(vocab_size=31, d_model=16, d_ff=24, d_kv=8, num_layers=2, num_heads=2)
DISTILBERT = dict(
    vocab_size=31, dim=16, n_heads=2, n_layers=2, hidden_dim=24, max_position_embeddings=40
)
#: Family: (class, configuration, task).
MODELS = {
    "gpt2": ("GPT2LMHeadModel", GPT2, "CAUSAL_LM"),
    "llama": ("LlamaForCausalLM", {**DECODER, "num_key_value_heads": 1}, "CAUSAL_LM"),
    "qwen2": ("Qwen2ForCausalLM", {**DECODER, "num_key_value_heads": 1}, "CAUSAL_LM"),
    "bert": ("BertForSequenceClassification", ENCODER, "SEQ_CLS"),
    "roberta": ("RobertaForSequenceClassification", ENCODER, "SEQ_CLS"),
    "distilbert": ("DistilBertForTokenClassification", DISTILBERT, "TOKEN_CLS"),
    "bert_questions": ("BertForQuestionAnswering", {**ENCODER, "num_labels": 2}, "QUESTION_ANS"),
    "t5": ("T5ForConditionalGeneration", T5, "SEQ_2_SEQ_LM"),
}
#: (family, settings of the adapter).
CASES = [
    ("gpt2", {}),
    ("gpt2", {"target_modules": ["c_attn", "c_fc", "wte"], "modules_to_save": ["ln_f"]}),
    ("gpt2", {"target_modules": "all-linear", "bias": "all", "use_rslora": True}),
    ("gpt2", {"target_modules": r".*\.h\.1\.mlp\.c_(fc|proj)", "fan_in_fan_out": True}),
    ("llama", {"bias": "lora_only"}),
    ("llama", {"target_modules": "all-linear", "exclude_modules": ["down_proj"]}),
    ("llama", {"target_modules": ["q_proj", "lm_head", "embed_tokens"]}),
    ("qwen2", {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1]}),
    ("qwen2", {"bias": "lora_only", "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}}),
    ("bert", {}),
    ("bert", {"target_modules": ["attention.output.dense"], "bias": "all"}),
    ("roberta", {}),
    ("roberta", {"target_modules": "all-linear"}),
    ("distilbert", {"target_modules": ["q_lin", "v_lin"]}),
    ("bert_questions", {"r": 1}),
    ("t5", {}),
    ("t5", {"target_modules": ["k", "o", "wi"], "modules_to_save": ["final_layer_norm"]}),
]
COPIES = ("original_module.bias", "modules_to_save.bias")


@pytest.fixture(autouse=True)
def quiet():
    """peft warns of what it corrects; the loading of an adapter must not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", models.LoadWarning)
        yield


def upstream(family, folder):
    """A random model of transformers, saved."""
    torch.manual_seed(1)
    name, values, task = MODELS[family]
    kind = getattr(transformers, name)
    drop = {
        key: 0.0
        for key in (
            "attn_pdrop",
            "embd_pdrop",
            "resid_pdrop",
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "dropout_rate",
            "dropout",
            "attention_dropout",
        )
    }
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "decoder_start_token_id": 2}
    config = kind.config_class(**{**drop, **ends, **values, "initializer_range": 0.2})
    model = kind(config)
    model.save_pretrained(folder)
    return model, getattr(models, name).from_pretrained(folder), task


def settings(task, given):
    return {"r": 3, "lora_alpha": 5, "task_type": task, "init_lora_weights": False, **given}


def batch(task):
    rng = np.random.default_rng(0)
    ids = rng.integers(3, 30, (2, 9))
    found = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    found["attention_mask"][1, 7:] = 0
    if task == "SEQ_CLS":
        return {**found, "labels": np.array([0, 2])}
    if task == "TOKEN_CLS":
        return {**found, "labels": rng.integers(0, 2, ids.shape)}
    if task == "QUESTION_ANS":
        return {**found, "start_positions": np.array([1, 3]), "end_positions": np.array([2, 5])}
    return {**found, "labels": ids}


def run(model, task):
    library = ds if isinstance(model, PeftModel | models.PreTrainedModel) else torch
    return model(**{key: library.tensor(value) for key, value in batch(task).items()})


def logits(output):
    found = output.start_logits if "start_logits" in output else output.logits
    return found.detach().numpy()


def assert_same(mine, theirs, task, rtol=2e-4):
    a, b = run(mine, task), run(theirs, task)
    np.testing.assert_allclose(logits(a), logits(b), rtol=rtol, atol=rtol * 0.05)
    np.testing.assert_allclose(a.loss.item(), b.loss.item(), rtol=rtol)
    return a, b


def gradients(model):
    """By the names of the file."""
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            for part in (".modules_to_save.default", ".default"):
                name = name.replace(part, "")
            assert parameter.grad is not None, name
            found[name] = parameter.grad.numpy()
    return found


@pytest.mark.parametrize(("family", "given"), CASES, ids=str)
def test_an_adapter_of_peft_and_ours_are_the_same(family, given, tmp_path):
    theirs, base, task = upstream(family, tmp_path / "model")
    torch.manual_seed(2)
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**settings(task, given)))
    theirs.save_pretrained(tmp_path / "theirs")
    mine = PeftModel.from_pretrained(base, tmp_path / "theirs", is_trainable=True)
    assert mine.get_nb_trainable_parameters()[0] == theirs.get_nb_trainable_parameters()[0]
    theirs.eval()
    a, b = assert_same(mine, theirs, task)
    a.loss.backward()
    b.loss.backward()
    expected, found = gradients(theirs), gradients(mine)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = np.abs(value).max() + 1e-4
        np.testing.assert_allclose(found[name], value, atol=1e-3 * scale, rtol=1e-3, err_msg=name)
    mine.save_pretrained(tmp_path / "ours")
    expected = load_file(tmp_path / "theirs" / "adapter_model.safetensors")
    found = load_file(tmp_path / "ours" / "adapter_model.safetensors")
    # With bias="all" peft writes the biases of modules that are saved whole three times.
    expected = {n: v for n, v in expected.items() if not n.endswith(COPIES)}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize(("family", "given"), CASES, ids=str)
def test_peft_loads_an_adapter_that_was_made_here(family, given, tmp_path):
    theirs, base, task = upstream(family, tmp_path / "model")
    mine = get_peft_model(base, LoraConfig(**settings(task, given)))
    mine.save_pretrained(tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "ours").eval()
    assert_same(mine.eval(), theirs, task)
    values = json.loads((tmp_path / "ours" / "adapter_config.json").read_text())
    assert values["base_model_name_or_path"] == str(tmp_path / "model")
    merged, expected = mine.merge_and_unload(), theirs.merge_and_unload()
    assert_same(merged, expected, task)
    assert not any("lora" in name for name in merged.state_dict())


def test_convolutions_of_image_models(tmp_path):
    """Against peft on the same layers of PyTorch."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 6, 3, stride=2, padding=1)
            self.point = torch.nn.Conv2d(6, 5, 1)
            self.head = torch.nn.Linear(5, 4)

        def forward(self, x):
            return self.head(self.point(self.conv(x)).mean((2, 3)))

    class Mine(ds.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = ds.nn.Conv2d(3, 6, 3, stride=2, padding=1)
            self.point = ds.nn.Conv2d(6, 5, 1)
            self.head = ds.nn.Linear(5, 4)

        def forward(self, x):
            return self.head(self.point(self.conv(x)).mean((2, 3)))

    torch.manual_seed(0)
    given = dict(
        target_modules=["conv", "point"], modules_to_save=["head"], init_lora_weights=False, r=2
    )
    theirs, base = Net(), Mine()
    base.load_state_dict({name: ds.tensor(t.numpy()) for name, t in theirs.state_dict().items()})
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**given))
    theirs.save_pretrained(tmp_path)
    mine = PeftModel.from_pretrained(base, tmp_path)
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(mine(ds.tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)
    merged = mine.merge_and_unload()
    np.testing.assert_allclose(merged(ds.tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)
    grouped = ds.nn.Sequential(ds.nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(ds.NotImplementedError, match="groups"):
        get_peft_model(grouped, LoraConfig(target_modules=["0"]))


@pytest.fixture
def gpt2(tmp_path):
    return upstream("gpt2", tmp_path / "model")


def test_a_new_adapter_changes_nothing_and_trains(gpt2, capsys):
    _, base, task = gpt2
    before = logits(run(base, task))
    model = get_peft_model(base, LoraConfig(task_type=TaskType.CAUSAL_LM, lora_dropout=0.5))
    np.testing.assert_array_equal(logits(run(model, task)), before)
    model.print_trainable_parameters()
    assert capsys.readouterr().out.startswith("trainable params: 1,024 || all params: ")
    frozen = {n: p.numpy().copy() for n, p in model.named_parameters() if not p.requires_grad}
    optimizer = ds.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = run(model, task).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    now = dict(model.named_parameters())
    assert all((now[name].numpy() == value).all() for name, value in frozen.items())
    with model.disable_adapter():
        np.testing.assert_array_equal(logits(run(model, task)), before)
    assert np.abs(logits(run(model, task)) - before).max() > 1e-3


@pytest.mark.parametrize("start", [True, "gaussian", False])
def test_start_of_the_matrices(start):
    base = ds.nn.Sequential(ds.nn.Linear(400, 300), ds.nn.Embedding(300, 200))
    config = dict(target_modules=["0", "1"], r=16, init_lora_weights=start)
    ds.manual_seed(0)
    mine = get_peft_model(base, LoraConfig(**config)).state_dict()
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(400, 300), torch.nn.Embedding(300, 200))
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**config)).state_dict()
    for name, expected in theirs.items():
        if "lora" in name:
            expected, found = expected.numpy(), mine[name].numpy()
            assert found.shape == expected.shape
            assert found.std() == pytest.approx(expected.std(), rel=0.05), name
            assert abs(found).max() == pytest.approx(abs(expected).max(), rel=0.3), name


def test_several_adapters(gpt2, tmp_path):
    theirs, base, task = gpt2
    first = settings(task, {"modules_to_save": ["ln_f"]})
    second = settings(task, {"r": 2, "target_modules": ["c_attn", "mlp.c_proj"]})
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**first))
    theirs.add_adapter("other", peft.LoraConfig(**second))
    theirs.save_pretrained(tmp_path / "both")
    theirs.eval()
    mine = PeftModel.from_pretrained(base, tmp_path / "both")
    assert mine.load_adapter(tmp_path / "both" / "other", "other") == {
        "missing_keys": [],
        "unexpected_keys": [],
    }
    for names in ("default", "other"):
        mine.set_adapter(names)
        theirs.set_adapter(names)
        assert_same(mine, theirs, task)
        assert mine.active_adapter == names
        assert mine.get_nb_trainable_parameters()[0] == theirs.get_nb_trainable_parameters()[0]
    mine.set_adapter(["default", "other"])
    theirs.base_model.set_adapter(["default", "other"])
    assert_same(mine, theirs, task)
    mine.save_pretrained(tmp_path / "again")
    for part in ("", "other"):
        a = load_file(tmp_path / "both" / part / "adapter_model.safetensors")
        b = load_file(tmp_path / "again" / part / "adapter_model.safetensors")
        assert a.keys() == b.keys()
        assert all((a[name] == b[name]).all() for name in a)
    mine.delete_adapter("default")
    assert mine.active_adapters == ["other"]
    theirs.delete_adapter("default")
    theirs.set_adapter("other")
    assert_same(mine, theirs, task)
    with pytest.raises(ds.ValueError, match="only adapter"):
        mine.delete_adapter("other")
    with pytest.raises(ds.ValueError, match="no adapter 'default'; there are other"):
        mine.set_adapter("default")


def test_merging_and_taking_out_again(gpt2):
    _, base, task = gpt2
    model = get_peft_model(base, LoraConfig(**settings(task, {}))).eval()
    adapted = logits(run(model, task))
    with model.disable_adapter():
        plain = logits(run(model, task))
    model.merge_adapter(safe_merge=True)
    np.testing.assert_allclose(logits(run(model, task)), adapted, rtol=1e-4, atol=1e-5)
    with pytest.raises(ds.StateError, match="unmerge"):
        model.add_adapter("other", LoraConfig(**settings(task, {})))
        model.delete_adapter("default")
    model.unmerge_adapter()
    np.testing.assert_allclose(logits(run(model, task)), adapted, rtol=1e-4, atol=1e-5)
    with model.disable_adapter():
        np.testing.assert_allclose(logits(run(model, task)), plain, rtol=1e-4, atol=1e-5)
    base = model.unload()
    np.testing.assert_allclose(logits(run(base, task)), plain, rtol=1e-4, atol=1e-5)
    broken = get_peft_model(base, LoraConfig(**settings(task, {})))
    with ds.no_grad():
        next(p for n, p in broken.named_parameters() if "lora_A" in n).fill_(float("nan"))
    with pytest.raises(ds.ValueError, match="not finite"):
        broken.merge_adapter(safe_merge=True)


@pytest.mark.parametrize("settings", [{}, {"modules_to_save": ["score"], "bias": "lora_only"}])
def test_pickles(settings):
    sizes = {**DECODER, "num_key_value_heads": 1, "pad_token_id": 0, "num_labels": 3}
    base = models.LlamaForSequenceClassification(models.LlamaConfig(**sizes))
    config = LoraConfig(r=3, init_lora_weights=False, **settings)
    model = get_peft_model(base, config)
    model.add_adapter("other", LoraConfig(r=2, target_modules=["up_proj"], init_lora_weights=False))
    model.set_adapter("default")
    model.eval()
    ids = ds.tensor([[4, 5, 6]])
    for adapter in ("default", "other"):
        model.set_adapter(adapter)
        again = pickle.loads(pickle.dumps(model))
        assert type(again) is type(model) and again.active_adapters == [adapter]
        assert again.peft_config == model.peft_config and not again.training
        assert again(ids).logits.tolist() == model(ids).logits.tolist()
        trained = [name for name, p in model.named_parameters() if p.requires_grad]
        assert [name for name, p in again.named_parameters() if p.requires_grad] == trained
    again.set_adapter("default")
    model.set_adapter("default")
    assert again(ids).logits.tolist() == model(ids).logits.tolist()
    with pytest.raises(ds.StateError, match="its layers have adapters"):
        pickle.dumps(model.get_base_model())
    model.merge_adapter()
    with pytest.raises(ds.StateError, match="unmerge_adapter"):
        pickle.dumps(model)
    merged = model.merge_and_unload()
    found = pickle.loads(pickle.dumps(merged))(ids).logits
    np.testing.assert_allclose(
        found.detach().numpy(), again(ids).logits.detach().numpy(), atol=1e-5
    )
    plain = get_peft_model(ds.nn.Sequential(ds.nn.Linear(2, 2)), LoraConfig(target_modules=["0"]))
    with pytest.raises(ds.NotImplementedError, match="Sequential cannot be made again"):
        pickle.dumps(plain)


def test_generation_with_an_adapter(gpt2, tmp_path):
    theirs, base, task = gpt2
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**settings(task, {"lora_alpha": 40})))
    theirs.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ds.ValueError, match="does not name the model"):
        AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter")
    changed(tmp_path / "adapter", base_model_name_or_path=str(tmp_path / "model"))
    mine = PeftModel.from_pretrained(base, tmp_path / "adapter")
    ids = np.array([[5, 9, 20, 7]])
    for options in ({}, {"num_beams": 3}):
        expected = theirs.eval().generate(input_ids=torch.tensor(ids), **options).numpy()
        found = mine.generate(ds.tensor(ids), **options).numpy()
        np.testing.assert_array_equal(found, expected)
    expected = mine.generate(ds.tensor(ids)).numpy()
    for auto in (AutoPeftModelForCausalLM, models.AutoModelForCausalLM):
        whole = auto.from_pretrained(tmp_path / "adapter")
        assert isinstance(whole, PeftModel)
        np.testing.assert_array_equal(whole.generate(ds.tensor(ids)).numpy(), expected)
    with pytest.raises(ds.IOError, match="no config.json"):
        models.AutoModelForCausalLM.from_pretrained(tmp_path)


def test_a_pipeline_takes_the_folder_of_an_adapter(gpt2, tmp_path):
    pytest.importorskip("tokenizers")
    _, base, _ = gpt2
    words = [f"w{i}" for i in range(26)]
    vocabulary = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])
    (tmp_path / "model" / "vocab.txt").write_text(vocabulary)
    model = get_peft_model(base, LoraConfig(init_lora_weights=False))
    model.save_pretrained(tmp_path / "adapter")
    options = {"max_new_tokens": 4}
    tokenizer = models.AutoTokenizer.from_pretrained(tmp_path / "model")
    expected = ds.pipeline("text-generation", model, tokenizer)("w3 w4", **options)
    found = ds.pipeline("text-generation", tmp_path / "adapter")
    assert found("w3 w4", **options) == expected
    tokenizer.save_pretrained(tmp_path / "adapter")
    found = ds.pipeline("text-generation", tmp_path / "adapter")
    assert found("w3 w4", **options) == expected


DEEPSEEK = dict(
    q_lora_rank=8,
    kv_lora_rank=8,
    qk_nope_head_dim=4,
    qk_rope_head_dim=4,
    v_head_dim=8,
    moe_intermediate_size=8,
    n_routed_experts=4,
    n_shared_experts=1,
    num_experts_per_tok=2,
    first_k_dense_replace=1,
)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "DeepseekV2ForCausalLM"])
def test_an_adapter_in_a_model_that_peft_does_not_have(name):
    """Merged, it gives what it gave beside the layers."""
    targets = "all-linear"
    if name == "DeepseekV2ForCausalLM":
        config = models.DeepseekV2Config(**{**DECODER, **DEEPSEEK, "num_key_value_heads": 2})
        base, x = models.DeepseekV2ForCausalLM(config), ds.tensor([[3, 9, 4, 20, 7]])
    elif name == "resnet18":
        base, x = models.resnet18(num_classes=4), ds.randn(2, 3, 32, 32)
        targets = r".*(conv\d|downsample\.0|fc)"
    else:
        base = models.vit_tiny_patch16_224(num_classes=4, img_size=32, depth=2)
        x = ds.randn(2, 3, 32, 32)

    def run(model):
        with ds.no_grad():
            output = model.eval()(x)
        return (output if isinstance(output, ds.Tensor) else output.logits).numpy()

    before = run(base)
    model = get_peft_model(base, LoraConfig(target_modules=targets, init_lora_weights=False, r=2))
    adapted = run(model)
    assert np.abs(adapted - before).max() > 1e-2
    np.testing.assert_allclose(run(model.merge_and_unload()), adapted, rtol=1e-3, atol=1e-4)


def test_sixteen_bits(gpt2, tmp_path):
    theirs, base, task = gpt2
    theirs, base = theirs.to(torch.bfloat16), base.to(ds.bfloat16)
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**settings(task, {})))
    theirs.save_pretrained(tmp_path)
    mine = PeftModel.from_pretrained(base, tmp_path, is_trainable=True)
    for name, parameter in mine.named_parameters():
        assert parameter.dtype == (ds.float32 if "lora_" in name else ds.bfloat16), name
    a, b = run(mine, task), run(theirs.eval(), task)
    assert a.logits.dtype == ds.bfloat16
    mine_logits = a.logits.detach().float().numpy()
    np.testing.assert_allclose(mine_logits, b.logits.detach().float().numpy(), atol=0.15)
    a.loss.backward()
    plain = get_peft_model(
        models.GPT2LMHeadModel(base.config).to(ds.bfloat16),
        LoraConfig(),
        autocast_adapter_dtype=False,
    )
    assert {p.dtype for p in plain.parameters()} == {ds.bfloat16}


def rows(count=24):
    rng = np.random.default_rng(0)
    return [{"input_ids": row, "labels": row} for row in rng.integers(3, 30, (count, 8)).tolist()]


class _Stop(ds.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_save = state.global_step == 5


def test_the_trainer_saves_adapters_and_resumes_exactly(gpt2, tmp_path):
    _, base, _ = gpt2

    def trained(name, resume=False, **more):
        ds.manual_seed(7)
        model = get_peft_model(
            models.GPT2LMHeadModel.from_pretrained(tmp_path / "model"),
            LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.1, modules_to_save=["ln_f"]),
        )
        args = ds.TrainingArguments(
            tmp_path / name,
            num_train_epochs=3,
            learning_rate=1e-2,
            eval_strategy="no",
            disable_tqdm=True,
        )
        ds.Trainer(model, args, train_dataset=rows(), **more).train(resume)
        return {n: p.numpy().copy() for n, p in get_peft_model_state_dict(model).items()}

    whole = trained("whole")
    trained("part", callbacks=[_Stop()])
    checkpoint = tmp_path / "part" / "checkpoint-5"
    weights = load_file(checkpoint / "adapter_model.safetensors")
    assert all("lora_" in name or "ln_f" in name for name in weights) and len(weights) >= 6
    assert not (checkpoint / "model.safetensors").exists()
    resumed = trained("part", resume=True)
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    assert (tmp_path / "whole" / "adapter_model.safetensors").exists()
    assert not (tmp_path / "whole" / "model.safetensors").exists()
    again = PeftModel.from_pretrained(base, tmp_path / "whole")
    for name, value in get_peft_model_state_dict(again).items():
        np.testing.assert_array_equal(value.numpy(), whole[name])


def test_training_in_bfloat16_and_its_checkpoints(gpt2, tmp_path):
    table = [{key: np.array(value) for key, value in row.items()} for row in rows()]

    def trained(epochs, folder=None, resume=False):
        ds.manual_seed(3)
        model = get_peft_model(
            models.GPT2LMHeadModel.from_pretrained(tmp_path / "model"),
            LoraConfig(task_type="CAUSAL_LM", modules_to_save=["ln_f"], lora_dropout=0.2),
        )
        trainer = ds.MixedPrecisionTrainer(
            model.train(),
            ds.optim.AdamW,
            optimizer_args={"lr": 1e-2},
            dtype=ds.bfloat16,
            progress=False,
            checkpoint_dir=folder,
            resume=resume,
        )
        logs = trainer.fit(ds.data.DataLoader(table, batch_size=8, seed=1), epochs=epochs)
        return logs, {n: p.numpy().copy() for n, p in get_peft_model_state_dict(model).items()}

    logs, whole = trained(6)
    assert logs[-1]["loss"] < logs[0]["loss"]
    trained(3, tmp_path / "run")
    weights = load_file(tmp_path / "run" / "last.safetensors")
    names = {name for name in weights if name.startswith("model.")}
    assert names and all("lora_" in name or "ln_f" in name for name in names)
    _, resumed = trained(6, tmp_path / "run", resume=True)
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    damaged = {n: v for n, v in weights.items() if "lora_A" not in n}
    save_file(
        damaged,
        tmp_path / "run" / "last.safetensors",
        {"format": "deepseek-training-1", "optimizer": "AdamW"},
    )
    with pytest.raises(ds.KeyError, match="missing names.*lora_A"):
        trained(7, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"r": 0}, "ValueError", "r is 0; it must be a positive integer"),
        ({"lora_dropout": 1.5}, "ValueError", "lora_dropout is 1.5"),
        ({"bias": "some"}, "ValueError", "bias is 'some'"),
        ({"task_type": "CHESS"}, "ValueError", "task_type is 'CHESS'"),
        ({"target_modules": ["nothing"]}, "ValueError", "fit no layer.*c_attn"),
        ({"target_modules": "("}, "ValueError", "a regular expression"),
        ({"target_modules": ["ln_1"]}, "NotImplementedError", "LayerNorm can not be adapted"),
        ({"target_modules": 3}, "ValueError", "target_modules is 3"),
        ({"init_lora_weights": "pissa"}, "NotImplementedError", "pissa"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense(gpt2, given, error, text):
    _, base, task = gpt2
    before = sorted(base.state_dict())
    with pytest.raises(getattr(ds, error), match=text):
        get_peft_model(base, LoraConfig(**given))
    assert sorted(base.state_dict()) == before
    run(base, task)


def changed(folder, weights=None, **values):
    """Replaces keys of adapter_config.json and tensors."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    if weights is not None:
        save_file(weights, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"peft_type": "IA3"}, "NotImplementedError", "type IA3"),
        ({"use_dora": True}, "NotImplementedError", "use_dora=True"),
        ({"r": "many"}, "FileFormatError", "r is 'many'"),
        ({"rank_pattern": [1]}, "FileFormatError", "rank_pattern"),
        ({"r": 2}, "ShapeError", "shapes differ.*lora_A"),
        ({"weights": {}}, "LoadWarning", "missing"),
    ],
    ids=str,
)
def test_files_that_do_not_fit(gpt2, tmp_path, change, error, text):
    _, base, task = gpt2
    before = sorted(base.state_dict())
    get_peft_model(copy.deepcopy(base), LoraConfig(task_type=task)).save_pretrained(tmp_path)
    weights = change.pop("weights", None)
    changed(tmp_path, {"x": np.zeros(2, np.float32)} if weights == {} else None, **change)
    kind = models.LoadWarning if error == "LoadWarning" else getattr(ds, error)
    with pytest.raises(kind, match=text):
        PeftModel.from_pretrained(base, tmp_path)
    if error != "LoadWarning":
        assert sorted(base.state_dict()) == before


ODD = [None, True, -1, 0, 2.5, "", "x", [], [1], [[]], {}, {"x": []}, {"": "x"}, {"(": 1}]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_configurations_of_odd_values(gpt2, tmp_path, odd):
    """Every key with every odd value is read, or is an error of this library."""
    _, base, task = gpt2
    before = sorted(base.state_dict())
    get_peft_model(copy.deepcopy(base), LoraConfig(task_type=task)).save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    whole = json.loads(path.read_text())
    for key in [*whole, "use_dora", "unknown"]:
        path.write_text(json.dumps({**whole, key: odd}))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                PeftModel.from_pretrained(base, tmp_path).unload()
        except ds.Error:
            pass
        assert sorted(base.state_dict()) == before, key


def test_files_that_are_missing_or_broken(gpt2, tmp_path):
    _, base, task = gpt2
    with pytest.raises(ds.IOError, match="no adapter"):
        PeftModel.from_pretrained(base, tmp_path)
    get_peft_model(copy.deepcopy(base), LoraConfig(task_type=task)).save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    whole = path.read_bytes()
    for size in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ds.FileFormatError):
            PeftModel.from_pretrained(base, tmp_path)
    path.write_bytes(whole)
    (tmp_path / "adapter_config.json").write_text("[")
    with pytest.raises(ds.FileFormatError, match="JSON"):
        PeftModel.from_pretrained(base, tmp_path)
    assert not any("lora" in name for name in base.state_dict())


def test_an_old_file_of_pytorch(gpt2, tmp_path):
    theirs, base, task = gpt2
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**settings(task, {})))
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = {name: torch.tensor(value) for name, value in load_file(path).items()}
    torch.save(tensors, tmp_path / "adapter_model.bin")
    path.unlink()
    assert_same(PeftModel.from_pretrained(base, tmp_path), theirs.eval(), task)


def test_the_tensors_of_an_adapter_move_between_models(gpt2):
    _, base, task = gpt2
    other = copy.deepcopy(base)
    first = get_peft_model(base, LoraConfig(**settings(task, {}))).eval()
    second = get_peft_model(other, LoraConfig(**settings(task, {}))).eval()
    set_peft_model_state_dict(second, get_peft_model_state_dict(first))
    np.testing.assert_array_equal(logits(run(second, task)), logits(run(first, task)))
