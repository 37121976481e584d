# SPDX-License-Identifier: Apache-2.0
"""What steers generate() and what it tells about its choices, against transformers."""

import collections

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from deepseek.models import DynamicCache
from test_generation import ENDS, both, pair, prompts  # noqa: F401
from test_language_models import FAMILIES

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize(
    "options",
    [
        {"bad_words_ids": [[7], [41, 42], [49], [60], [56, 18, 42]]},
        {"suppress_tokens": list(range(0, 60, 2))},
        {"begin_suppress_tokens": list(range(3, 50))},
        {"forced_eos_token_id": 33, "eos_token_id": 60},
        {"forced_eos_token_id": [33, 59], "max_new_tokens": 5, "eos_token_id": 60},
        {"no_repeat_ngram_size": 1, "bad_words_ids": [[7]], "min_new_tokens": 9},
    ],
    ids=str,
)
@pytest.mark.parametrize("beams", [1, 3])
def test_forbidden_and_forced_tokens(pair, options, beams):  # noqa: F811
    options = {"max_new_tokens": 12, "eos_token_id": ENDS, "pad_token_id": 2, **options}
    mine, theirs = both(pair, prompts(), num_beams=beams, **options)
    np.testing.assert_array_equal(mine, theirs)
    plain, _ = both(pair, prompts(), num_beams=beams, eos_token_id=ENDS, pad_token_id=2)
    assert mine.tolist() != plain.tolist()


@pytest.mark.parametrize("beams", [1, 2])
def test_a_forced_first_token(pair, beams):  # noqa: F811
    options = {"forced_bos_token_id": 9, "begin_suppress_tokens": [*range(20, 60)]}
    given = {"input_ids": np.array([[4], [6]])}
    mine, theirs = both(pair, given, num_beams=beams, **options)
    np.testing.assert_array_equal(mine, theirs)
    assert (mine[:, 1] == 9).all()


def only_even(library):
    def process(ids, scores):
        assert ids.shape[0] == scores.shape[0]
        mask = np.where((np.arange(scores.shape[1]) + len(ids[0])) % 2 == 0, 0, -np.inf)
        return scores + library.tensor(mask.astype(np.float32))

    return process


def doubled(ids, scores):
    return scores * 2


@pytest.mark.parametrize("beams", [1, 3])
def test_custom_processors_and_allowed_tokens(pair, beams):  # noqa: F811
    theirs, mine = pair
    given = prompts()

    def allowed(item, tokens):
        assert len(tokens.shape) == 1
        return [*range(3 + item, 40), 40 + int(tokens[-1]) % 20]

    def run(model, library):
        return model.generate(
            **{k: library.tensor(v) for k, v in given.items()},
            logits_processor=[only_even(library), doubled],
            prefix_allowed_tokens_fn=allowed,
            num_beams=beams,
            max_new_tokens=10,
        ).numpy()

    np.testing.assert_array_equal(run(mine, ds), run(theirs, torch))
    ids = ds.tensor([[3, 4]])
    with pytest.raises(ds.ShapeError, match="logits processor"):
        mine.generate(ids, logits_processor=lambda ids, scores: scores[:, :4])
    with pytest.raises(ds.ValueError, match="returned int"):
        mine.generate(ids, logits_processor=lambda ids, scores: 3)
    with pytest.raises(ds.ValueError, match="returned no token"):
        mine.generate(ids, prefix_allowed_tokens_fn=lambda item, tokens: [])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"repetition_penalty": 1.4, "min_new_tokens": 5},
        {"num_beams": 3},
        {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 0.3},
        {"num_beams": 2, "no_repeat_ngram_size": 2, "early_stopping": True},
    ],
    ids=str,
)
def test_scores_of_every_step(pair, options):  # noqa: F811
    options = {
        "max_new_tokens": 9,
        "eos_token_id": ENDS,
        "pad_token_id": 2,
        "output_scores": True,
        "output_logits": True,
        "return_dict_in_generate": True,
        **options,
    }
    theirs, mine = pair
    given = prompts()
    expected = theirs.generate(**{k: torch.tensor(v) for k, v in given.items()}, **options)
    found = mine.generate(**{k: ds.tensor(v) for k, v in given.items()}, **options)
    np.testing.assert_array_equal(found.sequences.numpy(), expected.sequences.numpy())
    for name in ("scores", "logits"):
        assert len(found[name]) == len(expected[name])
        for a, b in zip(found[name], expected[name], strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=2e-4)
    if "num_beams" in options:
        np.testing.assert_allclose(
            found.sequences_scores.numpy(), expected.sequences_scores.numpy(), rtol=1e-4
        )
        np.testing.assert_array_equal(found.beam_indices.numpy(), expected.beam_indices.numpy())
    else:
        assert found.sequences_scores is None
    assert found.past_key_values.get_seq_length() == expected.past_key_values.get_seq_length()


@pytest.mark.parametrize("options", [{"min_p": 0.2}, {"min_p": 0.05, "top_k": 9, "top_p": 0.95}])
def test_scores_of_sampling(pair, options):  # noqa: F811
    theirs, mine = pair
    ids = np.array([[7, 3, 9, 3]])
    options = dict(do_sample=True, max_new_tokens=1, output_scores=True, **options)
    options["return_dict_in_generate"] = True
    expected = theirs.generate(torch.tensor(ids), **options).scores[0].numpy()
    found = mine.generate(ds.tensor(ids), **options).scores[0].numpy()
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_beams_that_sample(pair):  # noqa: F811
    """The first beam of each of many searches of one step is a draw from the model's distribution,
    and the searches of both libraries end in the same sequences about as often."""
    theirs, mine = pair
    ids = np.array([[7, 3, 9, 3]])
    options = dict(do_sample=True, num_beams=2, max_new_tokens=2, temperature=1.3, top_k=6)
    count, found, expected = 1500, collections.Counter(), collections.Counter()
    torch.manual_seed(0)
    rows = theirs.generate(torch.tensor(np.repeat(ids, count, 0)), **options)
    expected.update(map(tuple, rows[:, 4:].tolist()))
    rows = mine.generate(ds.tensor(np.repeat(ids, count, 0)), seed=3, **options)
    found.update(map(tuple, rows[:, 4:].tolist()))
    assert len(found) > 8
    for tokens in {*found, *expected}:
        share = (found[tokens] + expected[tokens]) / (2 * count)
        # Five standard deviations of the difference of two counts.
        spread = 5 * np.sqrt(2 * share * (1 - share) / count)
        assert abs(found[tokens] - expected[tokens]) / count <= spread + 1e-9, tokens
    again = mine.generate(ds.tensor(np.repeat(ids, count, 0)), seed=3, **options)
    np.testing.assert_array_equal(again.numpy(), rows.numpy())
    assert len(mine.generate(ds.tensor(ids), num_return_sequences=2, **options)) == 2


FAMILIES_WITH_CACHE = ["GPT2", "Llama", "Mistral", "Qwen3"]


@pytest.mark.parametrize("family", FAMILIES_WITH_CACHE)
@pytest.mark.parametrize("head", [True, False])
def test_keys_and_values_go_in_and_out_of_forward(head, family, tmp_path):
    torch.manual_seed(5)
    name = "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    name, result = (name, "logits") if head else (f"{family}Model", "last_hidden_state")
    sizes = {"initializer_range": 0.4}
    config = getattr(transformers, f"{family}Config")(**{**FAMILIES[family], **sizes})
    theirs = getattr(transformers, name)(config).eval()
    theirs.save_pretrained(tmp_path)
    mine = getattr(models, name).from_pretrained(tmp_path)
    given = prompts(3, 15)
    ids, mask = given["input_ids"], given["attention_mask"]
    # Positions that count real tokens only, as generate() gives them.
    at = np.maximum(np.cumsum(mask, 1) - 1, 0)
    old, cache = None, None
    for begin, end in ((0, 6), (6, 7), (7, 12), (12, 15)):
        with torch.no_grad():
            expected = theirs(
                torch.tensor(ids[:, begin:end]),
                attention_mask=torch.tensor(mask[:, :end]),
                position_ids=torch.tensor(at[:, begin:end]),
                past_key_values=old,
                use_cache=True,
            )
        found = mine(
            ds.tensor(ids[:, begin:end]),
            attention_mask=ds.tensor(mask[:, :end]),
            past_key_values=cache,
            use_cache=True,
        )
        old, cache = expected.past_key_values, found.past_key_values
        assert cache.get_seq_length() == old.get_seq_length() == end
        real = mask[:, begin:end] == 1
        np.testing.assert_allclose(
            found[result].numpy()[real], expected[result].numpy()[real], rtol=2e-3, atol=2e-4
        )
    whole = mine(ds.tensor(ids[:1]))[result].detach().numpy()[:, 12:]
    np.testing.assert_allclose(found[result].numpy()[:1], whole, rtol=2e-3, atol=2e-4)


def test_a_conversation_goes_on_with_what_is_remembered(pair):  # noqa: F811
    _, mine = pair
    ids = ds.tensor(prompts(2, 8)["input_ids"])
    options = dict(max_new_tokens=6, return_dict_in_generate=True, eos_token_id=[])
    first = mine.generate(ids, **options)
    assert first.past_key_values.get_seq_length() == 13  # the last token was not read yet
    longer = ds.cat([first.sequences, ds.tensor([[8, 9], [3, 5]])], 1)
    plain = mine.generate(longer, max_new_tokens=6, eos_token_id=[])
    found = mine.generate(longer, past_key_values=first.past_key_values, **options)
    np.testing.assert_array_equal(found.sequences.numpy(), plain.numpy())
    assert found.past_key_values.get_seq_length() == 21
    beams = mine.generate(longer, num_beams=3, max_new_tokens=6)
    cache = DynamicCache()
    mine(ids, past_key_values=cache)
    np.testing.assert_array_equal(
        mine.generate(longer, num_beams=3, max_new_tokens=6, past_key_values=cache).numpy(),
        beams.numpy(),
    )


def test_a_cache_that_does_not_fit(pair):  # noqa: F811
    _, mine = pair
    cache = mine(ds.tensor([[3, 4, 5]]), use_cache=True).past_key_values
    with pytest.raises(ds.ValueError, match="1 rows of 3 tokens"):
        mine.generate(ds.tensor([[3, 4, 5]]), past_key_values=cache)
    with pytest.raises(ds.ValueError, match="there are 1 rows, not 2"):
        mine(ds.tensor([[3], [4]]), past_key_values=cache)
    with pytest.raises(ds.ShapeError, match="for 4 tokens"):
        mine(ds.tensor([[3]]), attention_mask=ds.ones(1, 2), past_key_values=cache)
    with pytest.raises(ds.ValueError, match="give input_ids"):
        mine(ds.tensor([[3]]), labels=ds.tensor([[3]]), past_key_values=cache)
    with pytest.raises(ds.ValueError, match="256 the model has positions for"):
        mine(ds.tensor([[3] * 254]), past_key_values=cache)
    with pytest.raises(ds.ValueError, match="has no tokens"):
        mine.generate(ds.tensor([[3]]), bad_words_ids=[[]])
    # Refused inputs leave it as it was.
    assert cache.get_seq_length() == 3


@pytest.mark.parametrize("beams", [1, 2])
def test_prefixes_and_forced_tokens_of_an_encoder_decoder(beams, tmp_path):
    torch.manual_seed(2)
    theirs = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=40,
            d_model=16,
            d_ff=24,
            d_kv=8,
            num_layers=2,
            num_heads=2,
            initializer_factor=3.0,
            decoder_start_token_id=0,
            eos_token_id=1,
            pad_token_id=0,
        )
    ).eval()
    theirs.save_pretrained(tmp_path)
    mine = models.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    given = prompts(2, 7)
    given["input_ids"] = given["input_ids"] % 36 + 3
    for options in (
        {"decoder_input_ids": np.array([[0, 5, 9], [0, 7, 7]])},
        {"forced_bos_token_id": 8, "forced_eos_token_id": 1},
        {"bad_words_ids": [[4], [6, 9]], "no_repeat_ngram_size": 2},
    ):
        options = {"num_beams": beams, "max_new_tokens": 9, **options}

        def run(model, library, options=options):
            ids = options.get("decoder_input_ids")
            more = {} if ids is None else {"decoder_input_ids": library.tensor(ids)}
            rows = {k: library.tensor(v) for k, v in given.items()}
            return model.generate(**rows, **{**options, **more}).numpy()

        np.testing.assert_array_equal(run(mine, ds), run(theirs, torch))
    rows = {k: ds.tensor(v) for k, v in given.items()}
    options = {"num_beams": beams, "max_new_tokens": 9}
    expected = mine.generate(**rows, **options).numpy()
    output = mine(**rows, decoder_input_ids=ds.tensor([[0], [0]]))
    encoded, mask = output.encoder_last_hidden_state, rows["attention_mask"]
    for form in (encoded, (encoded,), models.ModelOutput(last_hidden_state=encoded)):
        found = mine.generate(encoder_outputs=form, attention_mask=mask, **options)
        np.testing.assert_array_equal(found.numpy(), expected)
        again = mine(
            encoder_outputs=form, attention_mask=mask, decoder_input_ids=ds.tensor([[0], [0]])
        )
        np.testing.assert_array_equal(again.logits.detach().numpy(), output.logits.detach().numpy())
    with pytest.raises(ds.ValueError, match="not both"):
        mine.generate(**rows, encoder_outputs=encoded)
    with pytest.raises(ds.ShapeError, match=r"must be \[batch, tokens, 16\]"):
        mine.generate(encoder_outputs=encoded[:, :, :3])


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("normalize", [False, True])
def test_scores_of_chosen_tokens(pair, beams, normalize):  # noqa: F811
    found = []
    for model, kind in zip(pair, (torch, ds), strict=True):
        out = model.generate(
            **{k: kind.tensor(v) for k, v in prompts().items()},
            num_beams=beams,
            max_new_tokens=9,
            eos_token_id=ENDS,
            pad_token_id=2,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
        scores = model.compute_transition_scores(
            out.sequences, out.scores, getattr(out, "beam_indices", None), normalize
        )
        found.append(np.asarray(scores.numpy()))
    np.testing.assert_allclose(found[1], found[0], atol=2e-4)


def test_classes_of_criteria_and_processors(pair):  # noqa: F811
    class Stop(models.StoppingCriteria):
        def __call__(self, input_ids, scores, **kwargs):
            return ds.tensor([row[-1] != 7 for row in input_ids.tolist()])

    class Seven(models.LogitsProcessor):
        def __call__(self, input_ids, scores):
            wanted = ds.zeros_like(scores)
            wanted[:, 7 if input_ids.shape[1] < 8 else 9] = 1e4
            return scores + wanted

    ids = ds.tensor(prompts(1, 5)["input_ids"])
    found = pair[1].generate(
        ids,
        max_new_tokens=20,
        stopping_criteria=models.StoppingCriteriaList([Stop()]),
        logits_processor=models.LogitsProcessorList([Seven()]),
    )
    assert found[0, 5:].tolist() == [7, 7, 7, 9]
    for kind, given in ((models.StoppingCriteria, 2), (models.LogitsProcessor, 2)):
        with pytest.raises(NotImplementedError, match="a subclass defines __call__"):
            kind()(*[None] * given)
