# SPDX-License-Identifier: Apache-2.0
"""generate() against transformers: the same tokens from the same small random models."""

import threading

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models
from test_language_models import FAMILIES

transformers = pytest.importorskip("transformers")

CONFIG = dict(
    vocab_size=61,
    n_positions=256,
    n_embd=32,
    n_layer=2,
    n_head=4,
    initializer_range=0.5,
    bos_token_id=0,
    eos_token_id=60,
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model of transformers and the same one here."""
    torch.manual_seed(3)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**CONFIG)).eval()
    folder = tmp_path_factory.mktemp("gpt2")
    theirs.save_pretrained(folder)
    return theirs, models.AutoModelForCausalLM.from_pretrained(folder)


def prompts(rows=3, length=7, seed=0):
    """Ids and a mask with padding in front."""
    rng = np.random.default_rng(seed)
    ids, mask = rng.integers(3, 60, (rows, length)), np.ones((rows, length), np.int64)
    for row in range(1, rows):
        mask[row, : 2 * row] = 0
    ids[mask == 0] = 1
    return {"input_ids": ids, "attention_mask": mask}


def both(pair, given, **options):
    """(ours, theirs) as arrays."""
    theirs, mine = pair
    expected = theirs.generate(**{k: torch.tensor(v) for k, v in given.items()}, **options)
    return mine.generate(**{k: ds.tensor(v) for k, v in given.items()}, **options).numpy(), expected


ENDS = [5, 17, 23, 42, 60]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_new_tokens": 90},
        {"max_new_tokens": 40, "eos_token_id": ENDS, "pad_token_id": 2},
        {"max_length": 12},
        {"max_new_tokens": 30, "min_new_tokens": 12, "eos_token_id": ENDS},
        {"max_new_tokens": 30, "min_length": 20, "eos_token_id": ENDS},
        {"max_new_tokens": 30, "repetition_penalty": 1.7},
        {"max_new_tokens": 30, "no_repeat_ngram_size": 2},
        {"num_beams": 3},
        {"num_beams": 4, "eos_token_id": ENDS, "pad_token_id": 2, "max_new_tokens": 30},
        {"num_beams": 4, "num_return_sequences": 3, "eos_token_id": ENDS, "pad_token_id": 0},
        {"num_beams": 3, "early_stopping": True, "eos_token_id": ENDS, "max_new_tokens": 30},
        {"num_beams": 3, "early_stopping": "never", "eos_token_id": ENDS, "max_new_tokens": 30},
        {"num_beams": 3, "length_penalty": -1.0, "eos_token_id": ENDS, "max_new_tokens": 30},
        {"num_beams": 2, "length_penalty": 2.0, "repetition_penalty": 1.5, "eos_token_id": 5},
    ],
    ids=str,
)
def test_greedy_and_beam_search_give_the_tokens_of_transformers(pair, options):
    mine, theirs = both(pair, prompts(), **options)
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen2", "Qwen3"])
def test_decoders_with_shared_keys_and_windows(family, tmp_path):
    torch.manual_seed(5)
    sizes = {"max_position_embeddings": 100, "initializer_range": 0.4}
    config = getattr(transformers, f"{family}Config")(**{**FAMILIES[family], **sizes})
    theirs = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    theirs.save_pretrained(tmp_path)
    models_ = theirs, models.AutoModelForCausalLM.from_pretrained(tmp_path)
    for options in ({"max_new_tokens": 70}, {"num_beams": 3, "max_new_tokens": 10}):
        mine, expected = both(models_, prompts(), **options)
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("length", [1, 2, 9, 64, 65, 100])
def test_prompts_of_any_length(pair, length):
    ids = prompts(2, length, seed=length)["input_ids"]
    mine, theirs = both(pair, {"input_ids": ids}, max_new_tokens=70)
    np.testing.assert_array_equal(mine, theirs)


def test_padding_is_found_by_its_token(pair):
    given = prompts()
    given.pop("attention_mask")
    mine, theirs = both(pair, given, pad_token_id=1)
    np.testing.assert_array_equal(mine, theirs)
    expected = pair[1].generate(**{k: ds.tensor(v) for k, v in prompts().items()}, pad_token_id=1)
    np.testing.assert_array_equal(mine, expected.numpy())


def test_a_long_text_needs_few_plans(pair):
    model = pair[1]

    def plans_of(length, tokens):
        before = ds.engine_stats()["plans"]
        model.generate(ds.tensor(prompts(1, length)["input_ids"]), max_new_tokens=tokens)
        return ds.engine_stats()["plans"] - before

    # The prompt; steps and growth at 64, 128 and 256 tokens.
    assert plans_of(5, 190) <= 6
    assert plans_of(7, 190) == 0
    assert plans_of(6, 31) == 0
    # Another length of the prompt.
    assert plans_of(20, 30) <= 2


def test_the_memory_of_a_step_does_not_grow_with_the_text(pair):
    model = pair[1]
    model.generate(ds.tensor([[3, 4, 5]]), max_new_tokens=120)
    ds.synchronize()
    before = ds.memory_stats()["in_use"]
    seen = []
    model.generate(
        ds.tensor([[3, 4, 5]]),
        max_new_tokens=120,
        stopping_criteria=lambda ids, _: seen.append(ds.memory_stats()["in_use"]) or False,
    )
    # Two layers' keys and values of 128 tokens, twice while they grow.
    assert max(seen) - before < 4 * 2 * 2 * 128 * 32 * 4


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7, "top_k": 0},
        {"top_k": 4},
        {"top_k": 0, "top_p": 0.6},
        {"temperature": 1.5, "top_k": 12, "top_p": 0.9, "repetition_penalty": 1.4},
    ],
    ids=str,
)
def test_sampling_draws_from_the_distribution_of_transformers(pair, options):
    theirs, mine = pair
    ids = np.array([[7, 3, 9, 3]])
    output = theirs.generate(
        torch.tensor(ids),
        do_sample=True,
        max_new_tokens=1,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    expected = output.scores[0][0].softmax(-1).numpy()
    count = 20000
    drawn = mine.generate(
        ds.tensor(ids),
        do_sample=True,
        max_new_tokens=1,
        num_return_sequences=count,
        seed=5,
        **options,
    )
    found = np.bincount(drawn.numpy()[:, -1], minlength=61) / count
    assert set(np.flatnonzero(found)) <= set(np.flatnonzero(expected))
    # Five standard deviations of a count.
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected / count) + 1e-9)


def test_seeds_decide_what_is_drawn(pair):
    model, ids = pair[1], ds.tensor(prompts()["input_ids"])

    def draw(**options):
        return model.generate(ids, do_sample=True, max_new_tokens=12, **options).tolist()

    assert draw(seed=1) == draw(seed=1) != draw(seed=2)
    ds.manual_seed(4)
    first, second = draw(), draw()
    assert first != second
    ds.manual_seed(4)
    assert [draw(), draw()] == [first, second]


def test_stopping_criteria_end_rows(pair):
    theirs, mine = pair
    given = prompts()

    def third_is_even(ids, scores):
        return [len(row) > 9 and int(row[9]) % 2 == 0 for row in ids]

    def upstream(ids, scores):
        return torch.tensor(third_is_even(ids.tolist(), None))

    options = {"max_new_tokens": 15, "pad_token_id": 2}
    expected = theirs.generate(
        **{k: torch.tensor(v) for k, v in given.items()},
        stopping_criteria=transformers.StoppingCriteriaList([upstream]),
        **options,
    )
    given = {k: ds.tensor(v) for k, v in given.items()}
    found = mine.generate(**given, stopping_criteria=third_is_even, **options)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    with pytest.raises(ZeroDivisionError):
        mine.generate(**given, stopping_criteria=[lambda ids, scores: 1 / 0])


class Letters:
    """A tokenizer of one letter a token."""

    def decode(self, ids):
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        return "".join(" " if i % 7 == 0 else chr(ord("A") + i) for i in ids)


def test_stop_strings_end_a_text(pair):
    model, tokenizer, ids = pair[1], Letters(), ds.tensor([[7, 3, 9]])
    text = tokenizer.decode(model.generate(ids, max_new_tokens=30)[0])
    word = text[10:13]
    found = model.generate(ids, max_new_tokens=30, stop_strings=["@@", word], tokenizer=tokenizer)
    stopped = tokenizer.decode(found[0])
    assert stopped == text[: text.index(word, 1) + 3]
    with pytest.raises(ds.ValueError, match="tokenizer"):
        model.generate(ids, stop_strings=word)


def test_texts_are_streamed(pair, capsys):
    model, tokenizer, ids = pair[1], Letters(), ds.tensor([[7, 3, 9]])
    text = tokenizer.decode(model.generate(ids, max_new_tokens=30)[0])
    model.generate(ids, max_new_tokens=30, streamer=models.TextStreamer(tokenizer))
    assert capsys.readouterr().out == text + "\n"
    streamer = models.TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
    thread = threading.Thread(
        target=model.generate, args=(ids,), kwargs={"max_new_tokens": 30, "streamer": streamer}
    )
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert len(pieces) > 2 and "".join(pieces) == text[3:]
    with pytest.raises(ds.ValueError, match="no single text"):
        model.generate(ds.tensor([[1], [2]]), streamer=models.TextStreamer(tokenizer))
    with pytest.raises(ds.ValueError, match="streamed"):
        model.generate(ids, num_beams=2, streamer=models.TextStreamer(tokenizer))


def test_generation_config_is_read_and_written(pair, tmp_path):
    theirs, mine = pair
    assert mine.generation_config.eos_token_id == 60
    mine.save_pretrained(tmp_path)
    assert transformers.GenerationConfig.from_pretrained(tmp_path).eos_token_id == 60
    models.GenerationConfig(max_new_tokens=3, num_beams=2, other=[1]).save_pretrained(tmp_path)
    again = models.GPT2LMHeadModel.from_pretrained(tmp_path)
    ids = ds.tensor([[3, 4, 5]])
    assert again.generation_config.other == [1]
    assert again.generate(ids).shape == (1, 6)
    config = models.GenerationConfig(max_new_tokens=4)
    assert (
        again.generate(ids, config).tolist()
        == mine.generate(ids, max_new_tokens=4, num_beams=2).tolist()
    )
    assert again.generate(ids, config, max_new_tokens=5).shape == (1, 8)
    assert mine.generate(max_new_tokens=2)[0, 0].item() == 0  # from bos_token_id


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": 300}, "256 the model has positions for"),
        ({"max_length": 3}, "max_length is 3"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_k": "x"}, "top_k is 'x'"),
        ({"num_beams": 2, "early_stopping": 3}, "early_stopping is 3"),
        ({"num_beams": 2, "num_return_sequences": 3}, "more than num_beams 2"),
        ({"num_return_sequences": 3}, "greedy search"),
        ({"magic": 1}, "magic unknown"),
        ({"input_ids": 1}, "not both"),
    ],
)
def test_bad_options(pair, options, message):
    with pytest.raises(ds.ValueError, match=message):
        pair[1].generate(ds.tensor([[3, 4, 5]]), **options)


def test_bad_inputs(pair):
    model = pair[1]
    with pytest.raises(ds.ShapeError, match="at least one token"):
        model.generate(ds.zeros(1, 0, dtype=ds.int64))
    with pytest.raises(ds.ShapeError, match="attention_mask"):
        model.generate(ds.tensor([[3, 4, 5]]), attention_mask=ds.ones(1, 2))
    with pytest.raises(ds.IndexError):
        model.generate(ds.tensor([[3, 4, 99]]))
