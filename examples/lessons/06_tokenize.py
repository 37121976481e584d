# SPDX-License-Identifier: Apache-2.0
"""Lesson 6: texts to ids, and an answer back to the text it was found in."""

import tempfile
from pathlib import Path

from deepseek.models import AutoTokenizer

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] who wrote it ? the book is old and long . ann lee"

with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "vocab.txt").write_text("\n".join(WORDS.split()))
    tokenizer = AutoTokenizer.from_pretrained(folder)

# Texts of one batch get one length.
batch = tokenizer(["Who wrote it?", "Ann Lee"], padding=True, return_tensors="ds")
print(batch.input_ids)
assert batch.input_ids.shape == (2, 6) and batch.attention_mask.sum().item() == 10

# A context that is too long for the model is read through windows, which share two tokens.
question, context = "who wrote it?", "The book is old and long. Ann Lee wrote it."
windows = tokenizer(
    [question],
    [context],
    max_length=14,
    truncation="only_second",
    stride=2,
    padding=True,
    return_overflowing_tokens=True,
    return_offsets_mapping=True,
)
print(len(windows.input_ids), "windows")

# Offsets say where in the context a token is.
place = windows.input_ids[-1].index(tokenizer.convert_tokens_to_ids("ann"))
begin, end = windows.offset_mapping[-1][place][0], windows.offset_mapping[-1][place + 1][1]
print(context[begin:end])
assert context[begin:end] == "Ann Lee" and windows.sequence_ids(-1)[place] == 1
assert windows.overflow_to_sample_mapping[-1] == 0
