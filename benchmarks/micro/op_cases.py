# SPDX-License-Identifier: Apache-2.0
"""The operations that ops.py times: a function of a framework and arrays, and the arrays."""

import numpy as np

DRAW = np.random.default_rng(0)
ROWS, WIDTH, TOKENS = 30522, 768, 4096  # BERT's vocabulary and width, 8 sequences of 512


def floats(*shape):
    return DRAW.standard_normal(shape).astype(np.float32)


def doubles(*shape):
    return DRAW.standard_normal(shape)


def integers(high, *shape):
    return DRAW.integers(0, high, shape)


def bools(*shape):
    return integers(2, *shape).astype(bool)


def zipf(*shape):
    """Token numbers as they occur in text: a few make up most of it."""
    return np.minimum(DRAW.zipf(1.2, shape), ROWS) - 1


def embedding_gradient(f, table, tokens, diff):
    return f.zeros_like(table).index_add(0, tokens, diff)


def dropout(f, x):
    return f.nn.functional.dropout(x, 0.1)


def masked_mean(f, tokens, x):
    mask = tokens != 0
    return f.where(mask, x, 0.0).sum() / mask.sum()


def accuracy(f, logits, labels):
    return (logits.argmax(-1) == labels).sum()


def gradient_of(function):
    """The gradient of a function of one array, that of its output being ones."""

    def run(f, x):
        x = x.detach().requires_grad_(True)
        function(f, x).sum().backward()
        return x.grad

    return run


def named(name, *options, **keywords):
    """The function of that name of a framework, with further arguments."""

    def run(f, *tensors):
        return getattr(f, name)(*tensors, *options, **keywords)

    return run


def functional(name, *options, **keywords):
    def run(f, *tensors):
        return getattr(f.nn.functional, name)(*tensors, *options, **keywords)

    return run


def first(function):
    """The first output: the values of those that also give indices."""
    return lambda *tensors: function(*tensors)[0]


def bf16(function):
    """The function of bfloat16 copies of the arrays."""

    def run(f, *tensors):
        return function(f, *[t.to(f.bfloat16) for t in tensors])

    return run


LOGITS = floats(512, 50257)
TABLE, TOKEN_ROWS = floats(ROWS, WIDTH), floats(TOKENS, WIDTH)
VECTOR, WIDE = floats(1 << 20), floats(1024, 1024)
IMAGES = floats(8, 64, 56, 56)

INDEXING = {
    "embedding": (lambda f, w, i: w.index_select(0, i), TABLE, zipf(TOKENS)),
    "embedding gradient": (embedding_gradient, TABLE, zipf(TOKENS), TOKEN_ROWS),
    "embedding gradient, one token": (
        embedding_gradient,
        TABLE,
        np.zeros(TOKENS, np.int64),
        TOKEN_ROWS,
    ),
    "gather": (lambda f, x, i: x.gather(1, i), floats(4096, 1024), integers(1024, 4096, 256)),
    "gather of rows": (
        lambda f, x, i: x.gather(0, i),
        floats(4096, 256),
        integers(4096, 2048, 256),
    ),
    "scatter_add": (
        lambda f, x, i, s: x.scatter_add(1, i, s),
        floats(4096, 256),
        integers(256, 4096, 512),
        floats(4096, 512),
    ),
    "scatter": (
        lambda f, x, i, s: x.scatter(1, i, s),
        floats(4096, 256),
        np.argsort(DRAW.random((4096, 256)), 1)[:, :128].copy(),
        floats(4096, 128),
    ),
    "index_copy": (
        lambda f, x, i, s: x.index_copy(0, i, s),
        floats(8192, 256),
        DRAW.permutation(8192)[:4096],
        floats(4096, 256),
    ),
    "index_select of columns": (
        lambda f, x, i: x.index_select(1, i),
        floats(4096, 1024),
        integers(1024, 256),
    ),
    "x[i, j]": (lambda f, x, i, j: x[i, j], WIDE, integers(1024, 1 << 18), integers(1024, 1 << 18)),
    "index_put": (
        lambda f, x, i, v: x.index_put((i,), v),
        floats(8192, 256),
        DRAW.permutation(8192)[:4096],
        floats(4096, 256),
    ),
    "index_put, accumulate": (
        lambda f, x, i, v: x.index_put((i,), v, accumulate=True),
        floats(8192, 256),
        integers(8192, 4096),
        floats(4096, 256),
    ),
    "nonzero": (lambda f, m: m.nonzero(), bools(1024, 1024)),
    "masked_select": (named("masked_select"), WIDE, bools(1024, 1024)),
    "masked_fill": (lambda f, x, m: x.masked_fill(m, -1.0), WIDE, bools(1024, 1024)),
    "where": (lambda f, m, a, b: f.where(m, a, b), bools(1024, 1024), WIDE, floats(1024, 1024)),
    "searchsorted": (lambda f, s, v: f.searchsorted(s, v), np.sort(floats(4096)), floats(1 << 18)),
    "bucketize": (lambda f, v, s: f.bucketize(v, s), floats(1 << 18), np.sort(floats(64))),
    "one_hot": (functional("one_hot", 1000), integers(1000, 4096)),
    "bincount": (named("bincount", minlength=256), integers(256, 1 << 20)),
    "histc": (named("histc", 100, -3.0, 3.0), VECTOR),
    "unique": (named("unique"), integers(1000, 1 << 18)),
}
MOVEMENT = {
    "cat": (lambda f, a, b: f.cat([a, b], 1), WIDE, floats(1024, 512)),
    "stack": (lambda f, a, b: f.stack([a, b], -1), WIDE, floats(1024, 1024)),
    "roll": (named("roll", (3, 5), (0, 1)), WIDE),
    "flip": (named("flip", (1,)), WIDE),
    "flip of rows": (named("flip", (0,)), WIDE),
    "transposed": (lambda f, x: x.T.contiguous(), WIDE),
    "channels last": (lambda f, x: x.permute(0, 2, 3, 1).contiguous(), IMAGES),
    "repeat": (lambda f, x: x.repeat(4, 4), floats(256, 256)),
    "repeat_interleave": (lambda f, x: x.repeat_interleave(4, 1), floats(1024, 256)),
    "pad": (functional("pad", (1, 1, 1, 1)), IMAGES),
    "pad, reflect": (functional("pad", (1, 1, 1, 1), mode="reflect"), IMAGES),
    "tril": (named("tril"), WIDE),
    "interpolate, nearest": (functional("interpolate", scale_factor=2.0), floats(4, 64, 28, 28)),
    "interpolate, bilinear": (
        functional("interpolate", scale_factor=2.0, mode="bilinear"),
        floats(4, 64, 28, 28),
    ),
    "interpolate, bilinear, gradient": (
        gradient_of(functional("interpolate", scale_factor=2.0, mode="bilinear")),
        floats(4, 64, 28, 28),
    ),
}
ARITHMETIC = {
    "rand": (lambda f: f.rand(1 << 22),),
    "randn": (lambda f: f.randn(1 << 22),),
    "randint": (lambda f: f.randint(0, 1000, (1 << 20,)),),
    "dropout": (dropout, floats(4096, WIDTH)),
    "token mask": (masked_mean, zipf(1 << 20), VECTOR),
    "f32 arithmetic": (lambda f, a, b: a * b + a, VECTOR, floats(1 << 20)),
    "i64 arithmetic": (lambda f, a, b: a * 3 + b, integers(99, 1 << 21), integers(99, 1 << 21)),
    "i32 arithmetic": (
        lambda f, a, b: a * 3 + b,
        integers(99, 1 << 21).astype(np.int32),
        integers(99, 1 << 21).astype(np.int32),
    ),
    "u8 arithmetic": (
        lambda f, a, b: a * 3 + b,
        integers(9, 1 << 22).astype(np.uint8),
        integers(9, 1 << 22).astype(np.uint8),
    ),
    "i64 remainder": (lambda f, a: a % 7, integers(1 << 40, 1 << 20)),
    "i64 floor_divide": (lambda f, a: a // 7, integers(1 << 40, 1 << 20)),
    "f64 arithmetic": (lambda f, a, b: a * b + a, doubles(1 << 20), doubles(1 << 20)),
    "f64 exp": (named("exp"), doubles(1 << 18)),
    "f64 tanh": (named("tanh"), doubles(1 << 18)),
    "f64 matmul": (named("matmul"), doubles(384, 384), doubles(384, 384)),
    "f64 sum": (named("sum"), doubles(1 << 20)),
    "f64 softmax": (named("softmax", -1), doubles(1024, 256)),
    "bf16 arithmetic": (bf16(lambda f, a, b: a * b + a), VECTOR, floats(1 << 20)),
    "bf16 softmax": (bf16(named("softmax", -1)), WIDE),
    "bf16 sum": (bf16(named("sum", -1)), WIDE),
    "bf16 layer_norm": (bf16(functional("layer_norm", (1024,))), WIDE),
    "f32 to u8": (lambda f, x: x.abs().to(f.uint8), VECTOR),
    "u8 to f32": (lambda f, x: x.to(f.float32) / 255, integers(256, 1 << 20).astype(np.uint8)),
    "i64 to f32": (lambda f, x: x.to(f.float32), integers(1000, 1 << 20)),
    "f32 to f64": (lambda f, x: x.to(f.float64), VECTOR),
    "logical_and": (lambda f, a, b: a & b, bools(1 << 22), bools(1 << 22)),
    "logical_not": (named("logical_not"), bools(1 << 22)),
    "comparison": (lambda f, a, b: a < b, VECTOR, floats(1 << 20)),
    "isnan any": (lambda f, x: f.isnan(x).any(), VECTOR),
    "clamp": (named("clamp", -1.0, 1.0), VECTOR),
    "exp": (named("exp"), VECTOR),
    "log": (lambda f, x: x.abs().log(), VECTOR),
    "sin": (named("sin"), VECTOR),
    "tanh": (named("tanh"), VECTOR),
    "sigmoid": (named("sigmoid"), VECTOR),
    "erf": (named("erf"), VECTOR),
    "gelu": (functional("gelu"), VECTOR),
    "gelu gradient": (gradient_of(functional("gelu")), VECTOR),
    "silu gradient": (gradient_of(functional("silu")), VECTOR),
    "pow": (lambda f, x: x.abs() ** 1.7, VECTOR),
    "lerp": (named("lerp", 0.3), VECTOR, floats(1 << 20)),
    "broadcast add": (lambda f, a, b, c: a + b + c, WIDE, floats(1024, 1), floats(1024)),
}
REDUCTIONS = {
    "accuracy": (accuracy, floats(4096, 1000), integers(1000, 4096)),
    "sum": (named("sum"), VECTOR),
    "sum of rows": (named("sum", 1), WIDE),
    "sum of columns": (named("sum", 0), WIDE),
    "mean over images": (lambda f, x: x.mean((2, 3)), IMAGES),
    "i64 sum": (named("sum"), integers(99, 1 << 20)),
    "count of bools": (named("sum"), bools(1 << 20)),
    "any": (named("any", 1), np.zeros((1024, 1024), bool)),
    "prod": (named("prod", 1), 1 + 0.01 * floats(1024, 1024)),
    "amax of columns": (named("amax", 0), WIDE),
    "max of rows": (first(named("max", 1)), WIDE),
    "max of columns": (first(named("max", 0)), WIDE),
    "argmax of rows": (named("argmax", 1), WIDE),
    "argmax of columns": (named("argmax", 0), WIDE),
    "i64 argmax": (named("argmax", 1), integers(1 << 40, 1024, 1024)),
    "var": (named("var", 1), WIDE),
    "var of columns": (named("var", 0), WIDE),
    "std": (named("std"), VECTOR),
    "norm": (named("norm"), VECTOR),
    "norm of rows": (lambda f, x: x.norm(dim=1), WIDE),
    "logsumexp": (named("logsumexp", 1), WIDE),
    "softmax": (named("softmax", 1), WIDE),
    "softmax of columns": (named("softmax", 0), WIDE),
    "cumsum": (named("cumsum", 1), floats(2048, 1024)),
    "cumsum of columns": (named("cumsum", 0), floats(2048, 1024)),
    "i64 cumsum": (named("cumsum", 1), integers(9, 2048, 512)),
    "cumprod": (named("cumprod", 1), 1 + 0.01 * floats(2048, 512)),
    "cummax": (first(named("cummax", 1)), floats(2048, 1024)),
    "topk": (first(named("topk", 50)), LOGITS),
    "topk 5 of 1000": (first(named("topk", 5)), floats(1024, 1000)),
    "sort rows": (first(named("sort", 1)), floats(1024, 1024)),
    "sort one row": (first(named("sort", 0)), VECTOR),
    "sort short rows": (first(named("sort", 1)), floats(16384, 64)),
    "sort i64": (first(named("sort", 0)), integers(1 << 40, 1 << 18)),
    "argsort": (named("argsort", stable=True), floats(256, 4096)),
    "median": (first(named("median", 1)), WIDE),
    "max_pool2d": (functional("max_pool2d", 3, 2, 1), IMAGES),
    "max_pool2d gradient": (gradient_of(functional("max_pool2d", 3, 2, 1)), IMAGES),
    "avg_pool2d": (functional("avg_pool2d", 2), IMAGES),
    "avg_pool2d gradient": (gradient_of(functional("avg_pool2d", 2)), IMAGES),
    "adaptive_avg_pool2d": (functional("adaptive_avg_pool2d", 7), IMAGES),
}
PRODUCTS = {
    "bmm small": (named("bmm"), floats(512, 16, 16), floats(512, 16, 16)),
    "bmm 64": (named("bmm"), floats(96, 64, 64), floats(96, 64, 64)),
    "matmul with a vector": (named("matmul"), WIDE, floats(1024)),
    "outer": (named("outer"), floats(1024), floats(1024)),
    "einsum bhid,bhjd->bhij": (
        lambda f, a, b: f.einsum("bhid,bhjd->bhij", a, b),
        floats(4, 8, 128, 64),
        floats(4, 8, 128, 64),
    ),
    "einsum bij,bjk->bik": (
        lambda f, a, b: f.einsum("bij,bjk->bik", a, b),
        floats(32, 64, 96),
        floats(32, 96, 48),
    ),
    "cdist": (named("cdist"), floats(512, 64), floats(512, 64)),
}
# The three products of a linear layer: rows, features in, features out.
for m, k, n in ((32, 256, 1024), (128, 768, 3072), (1024, 768, 3072)):
    x, w, diff = floats(m, k), floats(n, k), floats(m, n)
    PRODUCTS[f"linear {m}x{k}-{n}"] = (lambda f, x, w: f.matmul(x, w.T), x, w)
    PRODUCTS[f"linear {m}x{k}-{n}, diff_src"] = (lambda f, d, w: f.matmul(d, w), diff, w)
    PRODUCTS[f"linear {m}x{n}-{k}, diff_src"] = (
        lambda f, x, w: f.matmul(x, w),
        x,
        floats(k, n),
    )
    PRODUCTS[f"linear {m}x{k}-{n}, diff_weights"] = (lambda f, d, x: f.matmul(d.T, x), diff, x)

CASES = INDEXING | MOVEMENT | ARITHMETIC | REDUCTIONS | PRODUCTS
RANDOM = {"rand", "randn", "randint", "dropout"}
