# SPDX-License-Identifier: Apache-2.0
"""The networks of the benchmark, written once and run by both frameworks.

Every function takes the framework as its first argument: `torch` or `deepseek`. The same lines
then make the same network in either, and a state_dict of one loads into the other. Hidden layers
drop out as in the published models; attention probabilities do not, as where attention is one
fused kernel.
"""

from collections.abc import Callable
from typing import NamedTuple

from . import image, mobile, sequence, text


class Network(NamedTuple):
    """How to build a network and what it reads.

    kind: "image" [N, C, H, W], "features" [N, F], or "tokens" [N, T], numbers below `vocabulary`.
    targets: "row", a class for each row of the batch, or "token", one for each token.
    """

    build: Callable
    kind: str
    classes: int
    vocabulary: int = 0
    targets: str = "row"


NETWORKS: dict[str, Network] = {
    "resnet50": Network(image.resnet50, "image", 1000),
    "resnet18": Network(image.resnet18, "image", 1000),
    "resnet8": Network(image.resnet8, "image", 10),
    "mobilenet_v2": Network(image.mobilenet_v2, "image", 1000),
    "mobilenet_tiny": Network(image.mobilenet_tiny, "image", 10),
    "efficientnet_b0": Network(mobile.efficientnet_b0, "image", 1000),
    "efficientnet_tiny": Network(mobile.efficientnet_tiny, "image", 10),
    "mobilenet_v3_large": Network(mobile.mobilenet_v3_large, "image", 1000),
    "mobilenet_v3_tiny": Network(mobile.mobilenet_v3_tiny, "image", 10),
    "vit_s16": Network(image.vit_s16, "image", 1000),
    "vit_tiny": Network(image.vit_tiny, "image", 10),
    "group_norms": Network(image.group_norms, "image", 10),
    "enlarged": Network(image.enlarged, "image", 10),
    "bert_base": Network(text.bert_base, "tokens", 2, 30522),
    "bert_tiny": Network(text.bert_tiny, "tokens", 2, 50),
    "gpt2_small": Network(text.gpt2_small, "tokens", 50257, 50257, "token"),
    "gpt2_tiny": Network(text.gpt2_tiny, "tokens", 50, 50, "token"),
    "char_transformer": Network(text.char_transformer, "tokens", 128, 128, "token"),
    "t5_small": Network(text.t5_small, "tokens", 32128, 32128, "token"),
    "t5_tiny": Network(text.t5_tiny, "tokens", 50, 50, "token"),
    "textcnn": Network(text.textcnn, "tokens", 2, 5000),
    "lstm": Network(sequence.lstm, "tokens", 1000, 1000, "token"),
    "bilstm": Network(sequence.bilstm, "tokens", 100, 100, "token"),
    "projected_lstm": Network(sequence.projected_lstm, "tokens", 100, 100, "token"),
    "large_lstm": Network(sequence.large_lstm, "tokens", 100, 100, "token"),
    "bigru": Network(sequence.bigru, "tokens", 100, 100, "token"),
    "rnn": Network(sequence.rnn, "tokens", 100, 100, "token"),
    "packed_lstm": Network(sequence.packed_lstm, "tokens", 10, 100),
    "packed_gru": Network(sequence.packed, "tokens", 10, 100),
    "lstm_cells": Network(sequence.lstm_cells, "tokens", 100, 100, "token"),
    "gru_cells": Network(sequence.cells, "tokens", 100, 100, "token"),
    "seq2seq": Network(sequence.seq2seq, "tokens", 100, 100, "token"),
    "gru_tiny": Network(sequence.gru_tiny, "tokens", 20, 20, "token"),
    "lstm_tiny": Network(sequence.lstm_tiny, "tokens", 20, 20, "token"),
    "mlp": Network(sequence.mlp, "features", 10),
}
