# SPDX-License-Identifier: Apache-2.0
"""T5 against transformers: small random models saved there and loaded here."""

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from test_language_models import close

transformers = pytest.importorskip("transformers")

SMALL = dict(
    vocab_size=61,
    d_model=32,
    d_kv=12,
    d_ff=48,
    num_layers=2,
    num_decoder_layers=3,
    num_heads=4,
    relative_attention_num_buckets=8,
    relative_attention_max_distance=20,
    dropout_rate=0.0,
    decoder_start_token_id=0,
)
VERSION_1_1 = {**SMALL, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
#: The beginning of names of classes, and the configuration.
VERSIONS = {"1.0": ("T5", SMALL), "1.1": ("T5", VERSION_1_1), "mT5": ("MT5", VERSION_1_1)}


def upstream(head, config, family="T5"):
    torch.manual_seed(3)
    config_class = getattr(transformers, f"{family}Config")
    model = getattr(transformers, family + head)(config_class(**config))
    if hasattr(model, "lm_head") and config.get("tie_word_embeddings") is False:
        # As in published checkpoints; transformers ties it when it makes a new model.
        model.lm_head.weight = torch.nn.Parameter(torch.randn(61, 32))
    with torch.no_grad():
        for parameter in model.parameters():  # norms away from 1
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def inputs(head):
    rng = np.random.default_rng(1)
    ids, mask = rng.integers(3, 61, (3, 30)), np.ones((3, 30), np.int64)
    mask[1, 21:] = 0
    mask[2, 8:] = 0
    ids[mask == 0] = 0
    given = {"input_ids": ids, "attention_mask": mask}
    if head == "Model":
        given["decoder_input_ids"] = rng.integers(3, 61, (3, 26))
        given["decoder_attention_mask"] = np.arange(26)[None] < np.array([[26], [9], [20]])
        given["decoder_attention_mask"] = given["decoder_attention_mask"].astype(np.int64)
    elif head == "ForConditionalGeneration":
        given["labels"] = rng.integers(3, 61, (3, 26))
        given["labels"][1, 9:] = -100
    elif head == "ForSequenceClassification":
        given["labels"] = np.array([0, 2, 1])
        ids[[0, 1, 2], [29, 20, 7]] = 1  # the end of a text
    elif head == "ForTokenClassification":
        given["labels"] = np.where(mask == 1, ids % 3, -100)
    elif head == "ForQuestionAnswering":
        given["start_positions"] = np.array([0, 40, 2])  # the second lies outside
        given["end_positions"] = np.array([5, 4, 3])
    return given


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "head",
    [
        "Model",
        "EncoderModel",
        "ForConditionalGeneration",
        "ForSequenceClassification",
        "ForTokenClassification",
        "ForQuestionAnswering",
    ],
)
def test_equals_transformers(head, version, tmp_path):
    family, config = VERSIONS[version]
    counted = ("ForSequenceClassification", "ForTokenClassification")
    theirs = upstream(head, {**config, **({"num_labels": 3} if head in counted else {})}, family)
    theirs.save_pretrained(tmp_path)
    theirs.set_attn_implementation("eager")  # others give no attentions
    mine, info = getattr(models, family + head).from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    shapes = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == shapes
    given = inputs(head)
    asked = {"output_hidden_states": True, "output_attentions": True}
    t = theirs.train()(**{k: torch.tensor(v) for k, v in given.items()}, **asked)
    m = mine.train()(**{k: ds.tensor(v) for k, v in given.items()}, **asked)
    no_results = {"cache"} | ({"cross_attentions"} if "encoder_attentions" not in t else set())
    assert list(m) == [k for k in t if k not in no_results]
    for key in m:
        if key.endswith(("hidden_states", "attentions")):
            assert len(m[key]) == len(t[key])
            for ours, other in zip(m[key], t[key], strict=True):
                close(ours, other, key)
        else:
            close(m[key], t[key], key)
    loss = t.loss if "loss" in t else t.last_hidden_state.square().mean()
    loss.backward()
    (m.loss if "loss" in m else m.last_hidden_state.square().mean()).backward()
    gradients = {k: p.grad for k, p in mine.named_parameters()}
    assert gradients.keys() == {k for k, _ in theirs.named_parameters()}
    for key, parameter in theirs.named_parameters():
        close(gradients[key], parameter.grad, key)


def test_far_positions_fall_into_the_buckets_of_transformers(tmp_path):
    far = {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128}
    theirs = upstream("Model", {**SMALL, **far}).eval()
    with torch.no_grad():
        for stack in (theirs.encoder, theirs.decoder):
            stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight.normal_()
    theirs.save_pretrained(tmp_path)
    mine = models.T5Model.from_pretrained(tmp_path)
    ids = np.random.default_rng(2).integers(3, 61, (1, 260))
    t = theirs(torch.tensor(ids), decoder_input_ids=torch.tensor(ids))
    m = mine(ds.tensor(ids), decoder_input_ids=ds.tensor(ids))
    close(m.encoder_last_hidden_state, t.encoder_last_hidden_state)
    close(m.last_hidden_state, t.last_hidden_state)


@pytest.mark.parametrize("config", [SMALL, VERSION_1_1], ids=["1.0", "1.1"])
def test_transformers_loads_what_is_saved(config, tmp_path):
    mine = models.T5ForConditionalGeneration(models.T5Config(**config)).eval()
    mine.save_pretrained(tmp_path)
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    given = inputs("ForConditionalGeneration")
    close(
        mine(**{k: ds.tensor(v) for k, v in given.items()}).logits,
        theirs(**{k: torch.tensor(v) for k, v in given.items()}).logits,
    )
    again = models.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert type(again) is models.T5ForConditionalGeneration
    assert (again.lm_head.weight is again.shared.weight) == config.get("tie_word_embeddings", True)


@pytest.mark.parametrize("config", [SMALL, VERSION_1_1], ids=["1.0", "1.1"])
@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 40},
        {"num_beams": 3, "max_new_tokens": 15, "eos_token_id": [1, 5, 17, 23, 42]},
        {"decoder_input_ids": np.array([[0, 5, 7], [0, 9, 2], [0, 3, 3]]), "max_length": 12},
    ],
    ids=str,
)
def test_answers_are_those_of_transformers(config, options, tmp_path):
    # The cache of transformers has as many layers as the encoder.
    config = {**config, "initializer_factor": 4.0, "num_decoder_layers": 2}
    theirs = upstream("ForConditionalGeneration", config).eval()
    theirs.save_pretrained(tmp_path)
    mine = models.T5ForConditionalGeneration.from_pretrained(tmp_path)
    given = inputs("")

    def converted(values, tensor):
        return {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}

    expected = theirs.generate(**converted({**given, **options}, torch.tensor)).numpy()
    found = mine.generate(**converted({**given, **options}, ds.tensor)).numpy()
    np.testing.assert_array_equal(found, expected)
    before = ds.engine_stats()["plans"]
    given = {k: v[:, :29] for k, v in given.items()}
    again = mine.generate(**converted({**given, **options}, ds.tensor)).numpy()
    assert ds.engine_stats()["plans"] == before
    expected = theirs.generate(**converted({**given, **options}, torch.tensor)).numpy()
    np.testing.assert_array_equal(again, expected)


#: Sizes of published checkpoints, from their config.json.
NAMED = {
    "t5-small": {},
    "t5-base": dict(d_model=768, d_ff=3072, num_layers=12, num_heads=12),
    "t5-large": dict(d_model=1024, d_ff=4096, num_layers=24, num_heads=16),
    "flan-t5-small": dict(d_ff=1024, num_layers=8, num_heads=6, feed_forward_proj="gated-gelu"),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_sizes_have_upstream_shapes(name):
    with torch.device("meta"):
        theirs = transformers.T5Model(transformers.T5Config(**NAMED[name]))
    mine = models.T5Model(models.T5Config(**NAMED[name]))
    assert {k: tuple(v.shape) for k, v in mine.named_parameters()} == {
        k: tuple(v.shape) for k, v in theirs.named_parameters()
    }


def test_what_is_missing_is_named():
    model = models.T5ForConditionalGeneration(
        models.T5Config(**{**SMALL, "decoder_start_token_id": None})
    )
    ids = ds.tensor([[3, 4, 5]])
    with pytest.raises(ds.ValueError, match="decoder_start_token_id"):
        model(input_ids=ids, labels=ids)
    with pytest.raises(ds.ValueError, match="a token to begin with"):
        model.generate(ids)
    with pytest.raises(ds.ValueError, match="T5 decoder: give input_ids"):
        model(input_ids=ids)
    with pytest.raises(ds.ValueError, match="'magic' is unknown"):
        models.T5Model(models.T5Config(**{**SMALL, "feed_forward_proj": "gated-magic"}))


@pytest.mark.parametrize("head", ["Model", "ForConditionalGeneration"])
def test_keys_and_values_go_in_and_out_of_forward(head, tmp_path):
    theirs = upstream(head, SMALL).eval()
    theirs.save_pretrained(tmp_path)
    mine = getattr(models, f"T5{head}").from_pretrained(tmp_path)
    given = inputs("Model")
    texts = {k: given[k] for k in ("input_ids", "attention_mask")}
    written = given["decoder_input_ids"]
    result = "logits" if head != "Model" else "last_hidden_state"
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
        close(found[result], expected[result], (begin, end))
        t_state, m_state = (expected.encoder_last_hidden_state,), (found.encoder_last_hidden_state,)
        t_cache, m_cache = expected.past_key_values, found.past_key_values
        assert m_cache.get_seq_length() == end
    with pytest.raises(ds.ValueError, match="give decoder_input_ids"):
        mine(**{k: ds.tensor(v) for k, v in texts.items()}, use_cache=True)
    with pytest.raises(ds.ShapeError, match="for 13 tokens"):
        mine(
            encoder_outputs=m_state,
            decoder_input_ids=ds.tensor(written[:, 12:13]),
            decoder_attention_mask=ds.ones(3, 2),
            past_key_values=m_cache,
        )
