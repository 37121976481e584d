# SPDX-License-Identifier: Apache-2.0
"""BART, mBART, PEGASUS and Marian against transformers: small random models saved there and loaded
here."""

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from test_language_models import close
from test_t5 import inputs

transformers = pytest.importorskip("transformers")

SMALL = dict(
    vocab_size=61,
    d_model=32,
    max_position_embeddings=40,
    encoder_layers=2,
    encoder_attention_heads=4,
    encoder_ffn_dim=48,
    decoder_layers=3,
    decoder_attention_heads=2,
    decoder_ffn_dim=40,
    dropout=0.0,
    pad_token_id=0,
    eos_token_id=1,
    bos_token_id=2,
    decoder_start_token_id=2,
    forced_eos_token_id=1,
)
#: The beginning of names of classes, and what differs from SMALL.
VERSIONS = {
    "BART": ("Bart", {}),
    "BART scaled": ("Bart", {"scale_embedding": True, "activation_function": "relu"}),
    "BART untied": ("Bart", {"tie_word_embeddings": False}),
    "mBART": ("MBart", {"scale_embedding": True}),
    "PEGASUS": ("Pegasus", {"scale_embedding": True, "activation_function": "relu"}),
    "Marian": ("Marian", {"scale_embedding": True, "activation_function": "swish"}),
    "Marian of two tables": (
        "Marian",
        {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 53},
    ),
}
HEADS = {
    "Bart": (
        "Model",
        "ForConditionalGeneration",
        "ForSequenceClassification",
        "ForQuestionAnswering",
    ),
    "MBart": (
        "Model",
        "ForConditionalGeneration",
        "ForSequenceClassification",
        "ForQuestionAnswering",
    ),
    "Pegasus": ("Model", "ForConditionalGeneration"),
    "Marian": ("Model", "MTModel"),
}
CASES = [(v, head) for v, (family, _) in VERSIONS.items() for head in HEADS[family]]


def upstream(version, head, **changes):
    family, own = VERSIONS[version]
    torch.manual_seed(3)
    config = getattr(transformers, f"{family}Config")(**{**SMALL, **own, **changes})
    model = getattr(transformers, family + head)(config)
    with torch.no_grad():
        for parameter in model.parameters():  # norms away from 1
            parameter.add_(0.1 * torch.randn_like(parameter))
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
    return model


def given_to(head):
    given = inputs("ForConditionalGeneration" if head == "MTModel" else head)
    if head in ("MTModel", "Model"):  # words that the smaller table has too
        given = {k: np.where(v > 50, 50, v) for k, v in given.items()}
    return given


@pytest.mark.parametrize("version, head", CASES)
def test_equals_transformers(version, head, tmp_path):
    changes = {"num_labels": 3} if head == "ForSequenceClassification" else {}
    theirs = upstream(version, head, **changes)
    theirs.save_pretrained(tmp_path)
    theirs.set_attn_implementation("eager")  # others give no attentions
    name = VERSIONS[version][0] + head
    mine, info = getattr(models, name).from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    shapes = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == shapes
    given = given_to(head)
    asked = {"output_hidden_states": True, "output_attentions": True}
    if head == "MTModel":  # whose sinusoids are in no file
        for stack in (theirs.model.encoder, theirs.model.decoder):
            stack.embed_positions.weight.data = stack.embed_positions.create_weight()
    t = theirs.train()(**{k: torch.tensor(v) for k, v in given.items()}, **asked)
    m = mine.train()(**{k: ds.tensor(v) for k, v in given.items()}, **asked)
    assert list(m) == [k for k in t if k != "cache"]
    for key in m:
        if key.endswith(("hidden_states", "attentions")):
            assert len(m[key]) == len(t[key])
            for ours, other in zip(m[key], t[key], strict=True):
                close(ours, other, key)
        else:
            close(m[key], t[key], key)
    (t.loss if "loss" in t else t.last_hidden_state.square().mean()).backward()
    (m.loss if "loss" in m else m.last_hidden_state.square().mean()).backward()
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    assert list(gradients) == [k for k, _ in theirs.named_parameters()]
    for key, parameter in theirs.named_parameters():
        if parameter.grad is None:
            assert gradients[key] is None
        else:
            close(gradients[key], parameter.grad, key)


@pytest.mark.parametrize("version", ["BART", "mBART"])
def test_without_labels_the_decoder_reads_the_text(version, tmp_path):
    theirs = upstream(version, "ForConditionalGeneration").eval()
    theirs.save_pretrained(tmp_path)
    mine = models.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    given = {k: v for k, v in inputs("").items()}
    close(
        mine(**{k: ds.tensor(v) for k, v in given.items()}).logits,
        theirs(**{k: torch.tensor(v) for k, v in given.items()}).logits,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_transformers_loads_what_is_saved(version, tmp_path):
    family, own = VERSIONS[version]
    head = "MTModel" if family == "Marian" else "ForConditionalGeneration"
    config = getattr(models, f"{family}Config")(**{**SMALL, **own})
    mine = getattr(models, family + head)(config).eval()
    mine.save_pretrained(tmp_path)
    theirs, info = getattr(transformers, family + head).from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    given = given_to("MTModel")
    close(
        mine(**{k: ds.tensor(v) for k, v in given.items()}).logits,
        theirs.eval()(**{k: torch.tensor(v) for k, v in given.items()}).logits,
    )
    assert type(models.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)) is type(mine)


OPTIONS = [
    {"max_new_tokens": 25},
    {"num_beams": 3, "max_new_tokens": 15, "eos_token_id": [1, 5, 17, 23, 42]},
    {"num_beams": 4, "max_length": 20, "min_length": 9, "length_penalty": 2.0},
    {"num_beams": 4, "max_length": 20, "early_stopping": True, "no_repeat_ngram_size": 2},
    {"forced_bos_token_id": 7, "max_new_tokens": 12, "repetition_penalty": 1.3},
    {"decoder_input_ids": np.array([[2, 5, 7], [2, 9, 2], [2, 3, 3]]), "max_length": 12},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("version", ["BART", "mBART", "PEGASUS", "Marian"])
def test_answers_are_those_of_transformers(version, options, tmp_path):
    family, _ = VERSIONS[version]
    head = "MTModel" if family == "Marian" else "ForConditionalGeneration"
    # The cache of transformers has as many layers as the encoder.
    theirs = upstream(version, head, init_std=0.2, decoder_layers=2).eval()
    theirs.save_pretrained(tmp_path)
    theirs = type(theirs).from_pretrained(tmp_path).eval()
    mine = models.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    given = inputs("")

    def converted(values, tensor):
        return {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}

    expected = theirs.generate(**converted({**given, **options}, torch.tensor)).numpy()
    found = mine.generate(**converted({**given, **options}, ds.tensor)).numpy()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("version", ["BART", "Marian"])
def test_keys_and_values_go_in_and_out_of_forward(version, tmp_path):
    family, _ = VERSIONS[version]
    head = "MTModel" if family == "Marian" else "ForConditionalGeneration"
    theirs = upstream(version, head, decoder_layers=2).eval()
    theirs.save_pretrained(tmp_path)
    theirs = type(theirs).from_pretrained(tmp_path).eval()
    mine = getattr(models, family + head).from_pretrained(tmp_path)
    given = inputs("Model")
    texts = {k: given[k] for k in ("input_ids", "attention_mask")}
    written = given["decoder_input_ids"]
    t_state = m_state = t_cache = m_cache = None
    for begin, end in ((0, 5), (5, 6), (6, 11), (11, 12)):
        with torch.no_grad():
            expected = theirs(
                **{k: torch.tensor(v) for k, v in texts.items()},
                decoder_input_ids=torch.tensor(written[:, begin:end]),
                encoder_outputs=t_state,
                past_key_values=t_cache,
                use_cache=True,
            )
        found = mine(
            **{k: ds.tensor(v) for k, v in texts.items()},
            decoder_input_ids=ds.tensor(written[:, begin:end]),
            encoder_outputs=m_state,
            past_key_values=m_cache,
            use_cache=True,
        )
        close(found.logits, expected.logits, (begin, end))
        t_state, m_state = (expected.encoder_last_hidden_state,), (found.encoder_last_hidden_state,)
        t_cache, m_cache = expected.past_key_values, found.past_key_values
        assert m_cache.get_seq_length() == end
    with pytest.raises(ds.ValueError, match="more than the 40 the model has positions for"):
        mine(
            encoder_outputs=m_state,
            decoder_input_ids=ds.tensor(np.full((3, 29), 3)),
            past_key_values=m_cache,
        )


_BASE = dict(d_model=768, encoder_layers=6, decoder_layers=6, encoder_ffn_dim=3072)
_BASE |= dict(decoder_ffn_dim=3072, encoder_attention_heads=12, decoder_attention_heads=12)
_OPUS = dict(d_model=512, encoder_layers=6, decoder_layers=6, encoder_ffn_dim=2048)
_OPUS |= dict(decoder_ffn_dim=2048, encoder_attention_heads=8, decoder_attention_heads=8)
_OPUS |= dict(max_position_embeddings=512)
#: Sizes of published checkpoints, from their config.json.
NAMED = {
    "bart-base": ("Bart", _BASE),
    "bart-large": ("Bart", {}),
    "bart-large-cnn": ("Bart", {"vocab_size": 50264}),
    "mbart-large-50": ("MBart", {"vocab_size": 250054}),
    "pegasus-xsum": (
        "Pegasus",
        dict(vocab_size=96103, encoder_layers=16, decoder_layers=16, max_position_embeddings=512),
    ),
    "opus-mt-en-de": ("Marian", _OPUS),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_sizes_have_upstream_shapes(name):
    family, values = NAMED[name]
    with torch.device("meta"):
        config = getattr(transformers, f"{family}Config")(**values)
        theirs = getattr(transformers, f"{family}Model")(config)
    before = ds.memory_stats()["in_use"]
    mine = getattr(models, f"{family}Model")(getattr(models, f"{family}Config")(**values))
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }
    assert ds.memory_stats()["in_use"] - before < 1 << 20


@pytest.mark.parametrize("family", HEADS)
def test_defaults_are_those_of_transformers(family):
    theirs = getattr(transformers, f"{family}Config")().to_dict()
    config = getattr(models, f"{family}Config")()
    mine = config.to_dict()
    both = {key for key in mine.keys() & theirs.keys() if theirs[key] is not None} - {"id2label"}
    assert len(both) > 20
    assert {key: mine[key] for key in both} == {key: theirs[key] for key in both}
    assert config.num_labels == getattr(transformers, f"{family}Config")().num_labels


def test_layers_are_left_out_while_training():
    """Of two states of the encoder, those that a dropped layer leaves are equal."""
    config = models.BartConfig(**{**SMALL, "encoder_layers": 40, "encoder_layerdrop": 0.3})
    model = models.BartModel(config)
    ids = ds.tensor(inputs("")["input_ids"])
    ds.manual_seed(1)

    def left_out():
        states = model(ids, output_hidden_states=True).encoder_hidden_states
        states = [state.detach().numpy() for state in states]
        return sum(np.array_equal(a, b) for a, b in zip(states, states[1:], strict=False))

    assert 4 <= left_out() <= 22
    model.eval()
    assert left_out() == 0


@pytest.mark.parametrize(
    "family, changes, message",
    [
        ("Bart", {"encoder_attention_heads": 5}, "5 attention heads do not divide d_model 32"),
        ("Marian", {"decoder_ffn_dim": 0}, "decoder_ffn_dim 0 must be positive"),
        ("MBart", {"pad_token_id": 61}, "pad_token_id 61 is not below vocab_size 61"),
        ("Pegasus", {"activation_function": "magic"}, "'magic' is unknown"),
    ],
)
def test_bad_configurations_are_named(family, changes, message):
    with pytest.raises(ds.ValueError, match=message):
        getattr(models, f"{family}Model")(
            getattr(models, f"{family}Config")(**{**SMALL, **changes})
        )


def test_what_is_missing_is_named():
    ids = ds.tensor([[3, 4, 5]])
    writer = models.MarianMTModel(models.MarianConfig(**{**SMALL, "decoder_start_token_id": None}))
    with pytest.raises(ds.ValueError, match="Marian decoder: give input_ids"):
        writer(input_ids=ids)
    with pytest.raises(ds.ValueError, match="decoder_start_token_id"):
        writer(input_ids=ids, labels=ids)
    with pytest.raises(ds.ValueError, match="41 tokens are more than the 40"):
        models.BartModel(models.BartConfig(**SMALL))(ds.ones(1, 41, dtype=ds.int64))
    with pytest.raises(ds.ValueError, match="eos_token_id is not in the configuration"):
        config = models.BartConfig(**{**SMALL, "eos_token_id": None})
        models.BartForSequenceClassification(config)(ids)
