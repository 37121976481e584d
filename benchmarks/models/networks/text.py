# SPDX-License-Identifier: Apache-2.0
"""Transformers that read tokens."""

import math


def _heads(x, heads):
    """[N, T, D] -> [N, heads, T, D / heads]."""
    n, t, width = x.shape
    return x.view(n, t, heads, width // heads).transpose(1, 2)


def _joined(x):
    """[N, heads, T, D / heads] -> [N, T, D]."""
    n, heads, t, size = x.shape
    return x.transpose(1, 2).reshape(n, t, heads * size)


def bert(lib, layers, width, heads, vocabulary, classes=2, positions=512, dropout=0.1):
    """Devlin et al. 2019 with a classifier on the first token."""
    nn, functional = lib.nn, lib.nn.functional

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
            self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
            self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-12) for _ in range(2))
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x):
            q, k, v = (_heads(f(x), heads) for f in (self.query, self.key, self.value))
            y = _joined(functional.scaled_dot_product_attention(q, k, v))
            x = self.norm1(x + self.dropout(self.output(y)))
            return self.norm2(x + self.dropout(self.down(functional.gelu(self.up(x)))))

    class Bert(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(positions, width)
            self.kinds = nn.Embedding(2, width)
            self.norm = nn.LayerNorm(width, eps=1e-12)
            self.dropout = nn.Dropout(dropout)
            self.layers = nn.ModuleList([Layer() for _ in range(layers)])
            self.pooler = nn.Linear(width, width)
            self.classifier = nn.Linear(width, classes)

        def forward(self, tokens):
            places = lib.arange(tokens.shape[1])
            x = self.words(tokens) + self.positions(places) + self.kinds(lib.zeros_like(tokens))
            x = self.dropout(self.norm(x))
            for layer in self.layers:
                x = layer(x)
            return self.classifier(self.dropout(lib.tanh(self.pooler(x[:, 0]))))

    return Bert()


def gpt(lib, layers, width, heads, vocabulary, positions, dropout=0.1):
    """Radford et al. 2019: the output layer shares the embedding's weights."""
    nn, functional = lib.nn, lib.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.c_fc, self.c_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x):
            q, k, v = (_heads(part, heads) for part in self.c_attn(self.ln_1(x)).split(width, 2))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.dropout(self.c_proj(_joined(y)))
            y = functional.gelu(self.c_fc(self.ln_2(x)), approximate="tanh")
            return x + self.dropout(self.c_out(y))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
            self.dropout = nn.Dropout(dropout)
            self.h = nn.ModuleList([Block() for _ in range(layers)])
            self.ln_f = nn.LayerNorm(width)
            for embedding in (self.wte, self.wpe):
                nn.init.normal_(embedding.weight, std=0.02)

        def forward(self, tokens):
            x = self.dropout(self.wte(tokens) + self.wpe(lib.arange(tokens.shape[1])))
            for block in self.h:
                x = block(x)
            return functional.linear(self.ln_f(x), self.wte.weight)

    return Gpt()


def _t5_buckets(lib, queries, keys, bidirectional, buckets=32, furthest=128):
    """Distances between positions in 32 classes, finer near 0 (Raffel et al. 2020)."""
    rows = []
    for q in range(queries):
        row = []
        for k in range(keys):
            distance, count, first = q - k, buckets, 0
            if bidirectional:
                count //= 2
                first = count if distance < 0 else 0
                distance = abs(distance)
            distance, exact = max(distance, 0), count // 2
            if distance >= exact:
                scale = math.log(distance / exact) / math.log(furthest / exact)
                distance = min(exact + int(scale * (count - exact)), count - 1)
            row.append(first + distance)
        rows.append(row)
    return lib.tensor(rows)


def _t5_layers(lib, width, heads, inner, dropout):
    nn, functional = lib.nn, lib.nn.functional

    class RMSNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(lib.ones(width))

        def forward(self, x):
            return self.weight * (x * lib.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))

        def forward(self, x, memory, bias):
            q, k, v = (
                _heads(f(s), heads) for f, s in ((self.q, x), (self.k, memory), (self.v, memory))
            )
            scores = q @ k.transpose(2, 3)
            if bias is not None:
                scores = scores + bias
            return self.o(_joined(functional.softmax(scores, -1) @ v))

    class Layer(nn.Module):
        def __init__(self, crossed):
            super().__init__()
            self.norms = nn.ModuleList([RMSNorm() for _ in range(3 if crossed else 2)])
            self.attention = Attention()
            self.cross = Attention() if crossed else None
            self.wi = nn.Linear(width, inner, bias=False)
            self.wo = nn.Linear(inner, width, bias=False)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x, bias, memory=None):
            y = self.norms[0](x)
            x = x + self.dropout(self.attention(y, y, bias))
            if self.cross is not None:
                x = x + self.dropout(self.cross(self.norms[1](x), memory, None))
            y = functional.relu(self.wi(self.norms[-1](x)))
            return x + self.dropout(self.wo(self.dropout(y)))

    return RMSNorm, Layer


def t5(lib, layers, width, heads, inner, vocabulary, dropout=0.1):
    """Raffel et al. 2020; decodes its own input: both sides read the same tokens."""
    nn, functional = lib.nn, lib.nn.functional
    norm, layer = _t5_layers(lib, width, heads, inner, dropout)

    class Stack(nn.Module):
        def __init__(self, decoder):
            super().__init__()
            self.decoder = decoder
            self.bias = nn.Embedding(32, heads)
            self.layers = nn.ModuleList([layer(decoder) for _ in range(layers)])
            self.norm = norm()
            self.dropout = nn.Dropout(dropout)
            self.buckets = {}

        def position_bias(self, length):
            if length not in self.buckets:
                mask = lib.tensor(
                    [
                        [0.0 if k <= q or not self.decoder else -1e9 for k in range(length)]
                        for q in range(length)
                    ]
                )
                table = _t5_buckets(lib, length, length, not self.decoder)
                self.buckets[length] = (table, mask)
            table, mask = self.buckets[length]
            return self.bias(table).permute(2, 0, 1).unsqueeze(0) + mask

        def forward(self, x, memory=None):
            bias = self.position_bias(x.shape[1])
            x = self.dropout(x)
            for each in self.layers:
                x = each(x, bias, memory)
            return self.dropout(self.norm(x))

    class T5(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = nn.Embedding(vocabulary, width)
            self.encoder, self.decoder = Stack(False), Stack(True)
            nn.init.normal_(self.shared.weight, std=0.05)

        def forward(self, tokens):
            x = self.shared(tokens)
            y = self.decoder(x, self.encoder(x))
            return functional.linear(y * width**-0.5, self.shared.weight)

    return T5()


def bert_base(lib):
    return bert(lib, 12, 768, 12, 30522)


def bert_tiny(lib):
    return bert(lib, 1, 16, 2, 50)


def gpt2_small(lib):
    return gpt(lib, 12, 768, 12, 50257, 1024)


def gpt2_tiny(lib):
    return gpt(lib, 1, 16, 2, 50, 32)


def char_transformer(lib):
    """Four layers of width 128 over characters: a small language model that a laptop trains."""
    return gpt(lib, 4, 128, 4, 128, 64, dropout=0.0)


def t5_small(lib):
    return t5(lib, 6, 512, 8, 2048, 32128)


def t5_tiny(lib):
    return t5(lib, 1, 16, 2, 32, 50)


def textcnn(lib, vocabulary=5000, width=100, channels=64, classes=2):
    """Kim 2014: convolutions as wide as the embedding, over three, four and five words."""
    nn, functional = lib.nn, lib.nn.functional

    class TextCnn(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.convs = nn.ModuleList(
                [nn.Conv2d(1, channels, (words, width)) for words in (3, 4, 5)]
            )
            self.fc = nn.Linear(3 * channels, classes)

        def forward(self, tokens):
            x = self.embedding(tokens).unsqueeze(1)
            features = [functional.relu(conv(x)).squeeze(3) for conv in self.convs]
            return self.fc(lib.cat([feature.amax(2) for feature in features], 1))

    return TextCnn()
