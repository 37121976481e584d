# SPDX-License-Identifier: Apache-2.0
"""Small models of transformers, saved with a tokenizer, for tests of Trainer."""

import deepseek as ds
import numpy as np
import pytest
import torch
import transformers
from deepseek import models

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] good bad film the was very not a of it an".split()
_COMMON = {"vocab_size": len(WORDS)}
_BERT = {
    **_COMMON,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}
_STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_GPT2 = {**_COMMON, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
_T5 = {
    **_COMMON,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 16,
    "num_layers": 1,
    "num_heads": 2,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}


_BART = {
    **_COMMON,
    "d_model": 16,
    **{
        f"{part}_{key}": size
        for part in ("encoder", "decoder")
        for key, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))
    },
    "dropout": 0.0,
    "init_std": 0.5,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "decoder_start_token_id": 2,
}


def make_model(head: str, dropout: bool = False, **changes):
    """transformers' BertFor..., GPT2..., Bart... or T5... without dropout, the same at every
    call."""
    torch.manual_seed(0)
    if head.startswith("Bert"):
        config = transformers.BertConfig(**{**_BERT, **({} if dropout else _STILL), **changes})
    elif head.startswith("GPT2"):
        still = {} if dropout else {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        config = transformers.GPT2Config(**{**_GPT2, **still, **changes})
    elif head.startswith("Bart"):
        config = transformers.BartConfig(**{**_BART, **changes})
    else:
        config = transformers.T5Config(**{**_T5, **changes})
    return getattr(transformers, head)(config)


def save_model(folder, head: str, **changes):
    """A folder with the model and its vocabulary."""
    make_model(head, **changes).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return folder


def classified(count: int, seed: int = 0, classes: int = 2) -> list[dict]:
    """Tokenised rows of different lengths with a class that the tokens tell."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        label = int(rng.integers(classes))
        ids = [2, *rng.integers(7, 16, rng.integers(2, 9)).tolist(), 5 + label, 3]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "label": label})
    return rows


def spoken(count: int, seed: int = 0) -> list[dict]:
    """Rows of tokens to predict the next of; some do not count."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        ids = (5 + np.cumsum(rng.integers(1, 3, 12)) % 11).tolist()
        silent = int(rng.integers(1, 8))
        rows.append({"input_ids": ids, "labels": [-100] * silent + ids[silent:]})
    return rows


#: The ends of names of models of images, and the Auto classes that find them.
_AUTO = {
    "ForMaskedImageModeling": models.AutoModelForMaskedImageModeling,
    "ForImageClassification": models.AutoModelForImageClassification,
    "ForImageClassificationWithTeacher": models.AutoModelForImageClassification,
    "ForSemanticSegmentation": models.AutoModelForSemanticSegmentation,
    "Model": models.AutoModel,
}


def saved_again(theirs, pixels, folder):
    """A model of images of transformers, as its Auto class finds it, which transformers then loads
    from what it saves, with the same result."""
    name = type(theirs).__name__
    auto = next(made for end, made in _AUTO.items() if name.endswith(end))
    theirs.save_pretrained(folder / "theirs")
    mine = auto.from_pretrained(folder / "theirs")
    assert type(mine) is getattr(models, name)
    assert type(mine.config).__name__ == type(theirs.config).__name__
    mine.save_pretrained(folder / "mine")
    again, info = type(theirs).from_pretrained(folder / "mine", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    expected = again.eval()(torch.tensor(pixels))[0].detach().numpy()
    found = mine(ds.tensor(pixels))[0].detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())
    return mine


def same(mine, theirs):
    """Equal in shape, keys and text; numbers up to rounding."""
    if isinstance(theirs, dict):
        assert mine.keys() == theirs.keys()
        for key in theirs:
            same(mine[key], theirs[key])
    elif isinstance(theirs, list | tuple):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            same(a, b)
    elif isinstance(theirs, float):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    else:
        assert mine == theirs
