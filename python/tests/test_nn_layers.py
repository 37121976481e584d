# SPDX-License-Identifier: Apache-2.0
"""Every layer against PyTorch's: state, repr, output, gradients of input and parameters."""

import copy
import pickle

import deepseek as ds
import deepseek.nn as nn
import numpy as np
import pytest
import torch

B, C = 2, 6
IMAGE, SERIES, VOLUME = (B, C, 9, 8), (B, C, 11), (B, C, 5, 6, 4)

# name, positional arguments, keyword arguments, input shape
LAYERS = [
    ("Linear", (5, 3), {}, (4, 5)),
    ("Linear", (5, 3, False), {}, (2, 4, 5)),
    ("Identity", (1, 2), {"x": 3}, (2, 3)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("Unflatten", (1, (2, 3)), {}, (4, 6)),
    ("Conv1d", (C, 4, 3), {}, SERIES),
    ("Conv1d", (C, 6, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 3}, SERIES),
    ("Conv2d", (C, 4, 3), {}, IMAGE),
    ("Conv2d", (C, 4, (3, 2)), {"stride": (2, 1), "padding": (1, 0), "bias": False}, IMAGE),
    ("Conv2d", (C, C, 3), {"padding": "same", "groups": C}, IMAGE),
    ("Conv2d", (C, 4, 3), {"padding": "valid", "dilation": 2}, IMAGE),
    ("Conv2d", (C, 4, 3), {"padding": 1, "padding_mode": "reflect"}, IMAGE),
    ("Conv2d", (C, 4, 3), {"padding": 1, "padding_mode": "circular"}, IMAGE),
    ("Conv2d", (C, 4, 3), {"padding": 1, "padding_mode": "replicate"}, IMAGE),
    ("Conv3d", (C, 4, 3), {"padding": 1}, VOLUME),
    ("ConvTranspose1d", (C, 4, 3), {"stride": 2}, SERIES),
    ("ConvTranspose2d", (C, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}, IMAGE),
    ("ConvTranspose2d", (C, 6, 3), {"groups": 2, "bias": False}, IMAGE),
    ("ConvTranspose3d", (C, 4, 2), {"stride": 2}, VOLUME),
    ("MaxPool1d", (3,), {}, SERIES),
    ("MaxPool2d", (3, 2, 1), {}, IMAGE),
    ("MaxPool2d", (2,), {"ceil_mode": True}, IMAGE),
    ("MaxPool3d", (2,), {}, VOLUME),
    ("AvgPool1d", (3, 2, 1), {}, SERIES),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, IMAGE),
    ("AvgPool2d", ((3, 2),), {"divisor_override": 5}, IMAGE),
    ("AvgPool3d", (2,), {}, VOLUME),
    ("AdaptiveAvgPool1d", (4,), {}, SERIES),
    ("AdaptiveAvgPool2d", (1,), {}, IMAGE),
    ("AdaptiveAvgPool2d", ((4, None),), {}, IMAGE),
    ("AdaptiveAvgPool3d", (2,), {}, VOLUME),
    ("AdaptiveMaxPool1d", (3,), {}, SERIES),
    ("AdaptiveMaxPool2d", ((3, 2),), {}, IMAGE),
    ("AdaptiveMaxPool3d", (2,), {}, VOLUME),
    ("BatchNorm1d", (C,), {}, (7, C)),
    ("BatchNorm1d", (C,), {"eps": 1e-3, "momentum": 0.2}, SERIES),
    ("BatchNorm2d", (C,), {}, IMAGE),
    ("BatchNorm2d", (C,), {"momentum": None}, IMAGE),
    ("BatchNorm2d", (C,), {"affine": False, "track_running_stats": False}, IMAGE),
    ("BatchNorm3d", (C,), {}, VOLUME),
    ("InstanceNorm1d", (C,), {"affine": True}, SERIES),
    ("InstanceNorm2d", (C,), {}, IMAGE),
    ("InstanceNorm2d", (C,), {"track_running_stats": True}, IMAGE),
    ("InstanceNorm3d", (C,), {}, VOLUME),
    ("LayerNorm", (5,), {}, (3, 4, 5)),
    ("LayerNorm", ((4, 5),), {"bias": False}, (3, 4, 5)),
    ("LayerNorm", (5,), {"elementwise_affine": False}, (3, 5)),
    ("RMSNorm", (5,), {}, (3, 4, 5)),
    ("RMSNorm", (5,), {"eps": 1e-6}, (3, 4, 5)),
    ("GroupNorm", (3, C), {}, IMAGE),
    ("GroupNorm", (2, C), {"affine": False}, SERIES),
    ("LocalResponseNorm", (3,), {}, IMAGE),
    ("Dropout", (0.0,), {}, (3, 4)),
    ("ReLU", (), {}, (3, 4)),
    ("ReLU6", (), {}, (3, 4)),
    ("SiLU", (), {}, (3, 4)),
    ("Mish", (), {}, (3, 4)),
    ("SELU", (), {}, (3, 4)),
    ("Sigmoid", (), {}, (3, 4)),
    ("Tanh", (), {}, (3, 4)),
    ("Softsign", (), {}, (3, 4)),
    ("Tanhshrink", (), {}, (3, 4)),
    ("LogSigmoid", (), {}, (3, 4)),
    ("Hardswish", (), {}, (3, 4)),
    ("Hardsigmoid", (), {}, (3, 4)),
    ("GELU", (), {}, (3, 4)),
    ("GELU", ("tanh",), {}, (3, 4)),
    ("LeakyReLU", (0.2,), {}, (3, 4)),
    ("ELU", (1.5,), {}, (3, 4)),
    ("CELU", (1.5,), {}, (3, 4)),
    ("Softplus", (2.0,), {}, (3, 4)),
    ("Hardtanh", (-0.5, 0.7), {}, (3, 4)),
    ("Hardshrink", (0.3,), {}, (3, 4)),
    ("Softshrink", (0.3,), {}, (3, 4)),
    ("Threshold", (0.1, 20.0), {}, (3, 4)),
    ("GLU", (), {}, (3, 4)),
    ("Softmax", (1,), {}, (3, 4)),
    ("LogSoftmax", (-1,), {}, (3, 4)),
    ("Softmin", (0,), {}, (3, 4)),
    ("Softmax2d", (), {}, IMAGE),
    ("PReLU", (), {}, (3, 4)),
    ("PReLU", (C,), {}, IMAGE),
    ("PixelShuffle", (2,), {}, (1, 8, 3, 3)),
    ("PixelUnshuffle", (2,), {}, (1, 2, 4, 6)),
    ("ChannelShuffle", (2,), {}, IMAGE),
    ("Upsample", (), {"scale_factor": 2.0}, IMAGE),
    ("Upsample", (), {"size": (5, 7), "mode": "bilinear", "align_corners": False}, IMAGE),
    ("UpsamplingNearest2d", (), {"scale_factor": 2.0}, IMAGE),
    ("UpsamplingBilinear2d", ((5, 7),), {}, IMAGE),
    ("ZeroPad1d", (2,), {}, SERIES),
    ("ZeroPad2d", ((1, 2, 3, 0),), {}, IMAGE),
    ("ConstantPad2d", (1, 3.5), {}, IMAGE),
    ("ConstantPad3d", (1, -1.0), {}, VOLUME),
    ("ReflectionPad1d", (2,), {}, SERIES),
    ("ReflectionPad2d", ((1, 2, 3, 0),), {}, IMAGE),
    ("ReplicationPad2d", (2,), {}, IMAGE),
    ("ReplicationPad3d", (1,), {}, VOLUME),
    ("CircularPad2d", ((1, 2, 3, 0),), {}, IMAGE),
    ("Unfold", (3,), {"padding": 1, "stride": 2}, IMAGE),
    ("Unfold", ((3, 2),), {}, IMAGE),
    ("Fold", ((5, 6), 2), {}, (2, 12, 20)),
    ("LPPool1d", (2, 3), {}, SERIES),
    ("LPPool2d", (2, 3), {"stride": 2}, IMAGE),
    ("TransformerEncoderLayer", (8, 2, 12, 0.0), {}, (5, 3, 8)),
    (
        "TransformerEncoderLayer",
        (8, 2, 12, 0.0, "gelu"),
        {"batch_first": True, "norm_first": True},
        (5, 3, 8),
    ),
]
IDS = [f"{name}-{i}" for i, (name, *_rest) in enumerate(LAYERS)]


def pair(name, args, kwargs):
    """PyTorch's layer and ours with its state."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    ours = getattr(nn, name)(*args, **kwargs)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def close(ours, theirs, tolerance=2e-5):
    theirs = theirs.detach().numpy()
    assert tuple(ours.shape) == theirs.shape
    scale = max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)))
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs, rtol=tolerance, atol=tolerance * scale
    )


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS, ids=IDS)
def test_layer_equals_torch(name, args, kwargs, shape):
    theirs, ours = pair(name, args, kwargs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    data = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    x, y = torch.tensor(data, requires_grad=True), ds.tensor(data, requires_grad=True)
    for mode in (True, False):
        theirs.train(mode)
        ours.train(mode)
        x.grad = y.grad = None
        theirs.zero_grad()
        ours.zero_grad()
        expected, got = theirs(x), ours(y)
        close(got, expected)
        if not expected.requires_grad:
            continue
        weights = np.random.default_rng(2).standard_normal(tuple(expected.shape))
        weights = weights.astype(np.float32)
        (expected * torch.tensor(weights)).sum().backward()
        (got * ds.tensor(weights)).sum().backward()
        close(y.grad, x.grad, 1e-4)
        for (key, p), q in zip(theirs.named_parameters(), ours.parameters(), strict=False):
            assert q.grad is not None, key
            close(q.grad, p.grad, 2e-4)
    for (key, p), q in zip(theirs.named_buffers(), ours.buffers(), strict=False):
        close(q.float(), p.float()), key


# Bounds on the error relative to the largest value: a few units of the dtype's last place.
DTYPES = {"float64": 1e-12, "bfloat16": 4e-2, "float16": 6e-3}


@pytest.mark.parametrize("dtype", DTYPES)
def test_layers_compute_in_their_dtype(dtype):
    theirs_dtype, ours_dtype = getattr(torch, dtype), getattr(ds, dtype)
    failures = []
    for name, args, kwargs, shape in LAYERS:
        theirs, ours = pair(name, args, kwargs)
        theirs.to(theirs_dtype)
        ours.to(ours_dtype)
        data = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        x = torch.tensor(data).to(theirs_dtype).requires_grad_()
        y = ds.tensor(data).to(ours_dtype).detach().requires_grad_()
        try:
            expected = theirs(x)
        except RuntimeError:  # PyTorch has no kernel for it
            continue
        got = ours(y)
        assert got.dtype == ours_dtype, name
        pairs = [(got, expected)]
        # Hardshrink jumps, so rounding decides; PyTorch's Hardsigmoid rounds 1/6 to f32.
        if expected.requires_grad and name not in ("Hardshrink", "Hardsigmoid"):
            expected.sum().backward()
            got.sum().backward()
            pairs.append((y.grad, x.grad))
        for a, b in pairs:
            a, b = a.detach().double().numpy(), b.detach().double().numpy()
            error = np.abs(a - b).max() / max(1.0, np.abs(b).max())
            if not error < 3 * DTYPES[dtype]:
                failures.append((name, args, kwargs, error))
    assert not failures


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS, ids=IDS)
def test_layer_is_copied_and_pickled(name, args, kwargs, shape):
    _, ours = pair(name, args, kwargs)
    data = ds.tensor(np.random.default_rng(1).standard_normal(shape).astype(np.float32))
    ours.eval()
    expected = ours(data).detach().numpy()
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert repr(other) == repr(ours)
        assert not other.training
        np.testing.assert_array_equal(other(data).detach().numpy(), expected)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("Linear", (50, 40), {}),
        ("Bilinear", (5, 6, 7), {}),
        ("Conv2d", (8, 16, 3), {"groups": 2}),
        ("ConvTranspose2d", (8, 16, 3), {}),
        ("Embedding", (100, 30), {"padding_idx": 1}),
        ("LSTM", (10, 20, 2), {}),
        ("GRUCell", (10, 20), {}),
        ("MultiheadAttention", (32, 4), {}),
        ("MultiheadAttention", (32, 4), {"kdim": 16, "vdim": 8, "add_bias_kv": True}),
        ("BatchNorm2d", (8,), {}),
        ("LayerNorm", (8,), {}),
        ("Transformer", (16, 2, 1, 1, 32), {}),
    ],
)
def test_default_initialisation_has_torchs_distribution(name, args, kwargs):
    torch.manual_seed(0)
    ds.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    ours = getattr(nn, name)(*args, **kwargs)
    assert [k for k, _ in theirs.named_parameters()] == [k for k, _ in ours.named_parameters()]
    for (key, p), q in zip(theirs.named_parameters(), ours.parameters(), strict=False):
        p, q = p.detach().numpy(), q.detach().numpy()
        assert p.shape == q.shape and p.dtype == q.dtype
        if p.std() == 0:
            np.testing.assert_array_equal(q, p, err_msg=key)
        elif p.size >= 100:
            assert abs(q.mean() - p.mean()) < 6 * p.std() / np.sqrt(p.size), key
            assert abs(q.std() / p.std() - 1) < 6 / np.sqrt(p.size), key
            assert np.abs(q).max() < 1.35 * np.abs(p).max(), key


def test_embedding():
    theirs, ours = pair("Embedding", (10, 4), {"padding_idx": 2})
    index = np.array([[1, 2, 3], [9, 2, 1]])
    expected, got = theirs(torch.tensor(index)), ours(ds.tensor(index))
    close(got, expected)
    expected.sum().backward()
    got.sum().backward()
    close(ours.weight.grad, theirs.weight.grad)
    table = nn.Embedding.from_pretrained(ds.ones(3, 2))
    assert not table.weight.requires_grad and repr(table) == "Embedding(3, 2)"


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode):
    theirs, ours = pair("EmbeddingBag", (10, 4), {"mode": mode})
    assert repr(ours) == repr(theirs)
    index, offsets = np.array([1, 2, 4, 5, 4, 3]), np.array([0, 4])
    close(
        ours(ds.tensor(index), ds.tensor(offsets)),
        theirs(torch.tensor(index), torch.tensor(offsets)),
    )
    close(ours(ds.tensor(index.reshape(2, 3))), theirs(torch.tensor(index.reshape(2, 3))))


@pytest.mark.parametrize("name", ["CosineSimilarity", "PairwiseDistance"])
def test_distances(name):
    theirs, ours = pair(name, (), {})
    assert repr(ours) == repr(theirs)
    a = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    b = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    close(ours(ds.tensor(a), ds.tensor(b)), theirs(torch.tensor(a), torch.tensor(b)))


def test_unpooling_inverts_pooling():
    x = np.random.default_rng(0).standard_normal((1, 2, 6, 8)).astype(np.float32)
    theirs, ours = torch.nn.MaxUnpool2d(2), nn.MaxUnpool2d(2)
    assert repr(ours) == repr(theirs)
    pooled, index = torch.nn.MaxPool2d(2, return_indices=True)(torch.tensor(x))
    own_pooled, own_index = nn.MaxPool2d(2, return_indices=True)(ds.tensor(x))
    np.testing.assert_array_equal(own_index.numpy(), index.numpy())
    close(ours(own_pooled, own_index), theirs(pooled, index))


def test_bilinear():
    theirs, ours = pair("Bilinear", (3, 4, 5), {})
    a = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    b = np.random.default_rng(1).standard_normal((2, 4)).astype(np.float32)
    close(ours(ds.tensor(a), ds.tensor(b)), theirs(torch.tensor(a), torch.tensor(b)))


@pytest.mark.parametrize("name", ["Dropout", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout"])
def test_dropout_keeps_the_mean(name):
    layer = getattr(nn, name)(0.3)
    # Alpha dropout keeps the mean and variance of standardised inputs, dropout any mean.
    mean = 0.0 if "Alpha" in name else 2.0
    x = ds.randn(64, 64, 4, 4) + mean
    kept = layer(x).numpy()
    assert abs(kept.mean() - mean) < 0.1
    if name in ("Dropout", "Dropout2d"):
        zero = (kept == 0).reshape(64 * 64, -1)
        share = zero.mean()
        assert 0.25 < share < 0.35
        assert name == "Dropout" or set(zero.mean(1)) <= {0.0, 1.0}
    layer.eval()
    np.testing.assert_array_equal(layer(x).numpy(), x.numpy())
    layer.train()
    layer.p = 0.0
    np.testing.assert_array_equal(layer(x).numpy(), x.numpy())


def test_inplace_activation_writes_its_input():
    x = ds.tensor([-1.0, 2.0])
    y = nn.ReLU(inplace=True)(x)
    np.testing.assert_array_equal(x.numpy(), [0.0, 2.0])
    np.testing.assert_array_equal(y.numpy(), [0.0, 2.0])


RECURRENT = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"proj_size": 3}),
    ("LSTM", {"bias": False}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "bidirectional": True}),
    ("GRU", {"bias": False, "batch_first": True}),
    ("RNN", {"bias": False, "bidirectional": True}),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
]


@pytest.mark.parametrize(("name", "kwargs"), RECURRENT)
def test_recurrent_equals_torch(name, kwargs):
    theirs, ours = pair(name, (4, 5), kwargs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    data = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
    x, y = torch.tensor(data, requires_grad=True), ds.tensor(data, requires_grad=True)
    expected, state = theirs(x)
    got, own = ours(y)
    close(got, expected)
    for a, b in zip(
        own if name == "LSTM" else [own], state if name == "LSTM" else [state], strict=False
    ):
        close(a, b)
    again, _ = ours(y, own)
    close(again, theirs(x, state)[0])
    expected.sum().backward()
    got.sum().backward()
    close(y.grad, x.grad, 1e-4)
    for p, q in zip(theirs.parameters(), ours.parameters(), strict=False):
        close(q.grad, p.grad, 1e-4)
    other = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
    close(other(y)[0], expected)


def outputs_and_gradients(lib, layer, data, scale):
    """Output, last states, then gradients of input and parameters."""
    x = lib.tensor(data, requires_grad=True)
    out, state = layer(x)
    parts = [out, *(state if isinstance(state, tuple) else [state])]
    sum((part.float() * scale).sum() for part in parts).backward()
    return [*parts, x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("shape", [(1, 1, 4), (3, 0, 4), (9, 53, 4), (5, 4)])
@pytest.mark.parametrize("hidden", [1, 17, 40])
def test_recurrent_of_odd_shapes_equals_torch(name, shape, hidden):
    theirs, ours = pair(name, (4, hidden), {"bidirectional": True})
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    expected = outputs_and_gradients(torch, theirs, data, 0.1)
    for a, b in zip(outputs_and_gradients(ds, ours, data, 0.1), expected, strict=True):
        close(a, b, 2e-4)


def test_recurrent_in_f64_equals_torch():
    for name, kwargs in (("LSTM", {"proj_size": 3}), ("GRU", {"bidirectional": True}), ("RNN", {})):
        theirs, ours = pair(name, (4, 5), kwargs)
        theirs.double(), ours.double()
        data = np.random.default_rng(0).standard_normal((3, 2, 4))
        expected = outputs_and_gradients(torch, theirs, data, 1.0)
        for a, b in zip(outputs_and_gradients(ds, ours, data, 1.0), expected, strict=True):
            close(a, b, 1e-5)


@pytest.mark.parametrize(
    ("name", "kwargs"), [("RNN", {}), ("LSTM", {}), ("LSTM", {"proj_size": 24}), ("GRU", {})]
)
def test_recurrent_under_autocast_is_close_to_f32(name, kwargs):
    theirs, ours = pair(name, (16, 40), {"bidirectional": True, **kwargs})
    small = {key: 0.2 * value for key, value in theirs.state_dict().items()}
    theirs.load_state_dict(small), ours.load_state_dict(small)
    data = np.random.default_rng(0).standard_normal((7, 33, 16)).astype(np.float32)
    expected = outputs_and_gradients(torch, theirs, data, 0.1)
    with ds.autocast("cpu", dtype=ds.bfloat16):
        got = outputs_and_gradients(ds, ours, data, 0.1)
    for a, b in zip(got, expected, strict=True):
        b = b.detach().numpy()
        error = np.abs(a.float().detach().numpy() - b).max()
        assert error < 0.03 * max(1.0, np.abs(b).max())


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("packed", [False, True])
def test_recurrent_differentiates_twice(name, packed):
    grads = []
    for lib, layer in zip((torch, ds), pair(name, (3, 4), {"bidirectional": True}), strict=True):
        data = np.random.default_rng(0).standard_normal((4, 3, 3)).astype(np.float32)
        x = lib.tensor(data, requires_grad=True)
        steps = lib.nn.utils.rnn.pack_padded_sequence(x, [4, 2, 1]) if packed else x
        out = layer(steps)[0]
        (first,) = lib.autograd.grad(
            ((out.data if packed else out) ** 2).sum(), x, create_graph=True
        )
        (first**2).sum().backward()
        grads.append([x.grad, *(p.grad for p in layer.parameters() if p.grad is not None)])
    for a, b in zip(grads[1], grads[0], strict=True):
        close(a, b, 1e-3)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "projected"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_sequences_equal_torch(name, batch_first):
    kwargs = {"num_layers": 2, "bidirectional": True, "batch_first": batch_first}
    if name == "projected":
        name, kwargs["proj_size"] = "LSTM", 3
    theirs, ours = pair(name, (4, 5), kwargs)
    shape = (3, 6, 4) if batch_first else (6, 3, 4)
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    lengths = [2, 6, 4]
    widths = (kwargs.get("proj_size", 5), 5)
    start = [
        np.random.default_rng(1).standard_normal((4, 3, width)).astype(np.float32)
        for width in widths
    ]
    x, y = torch.tensor(data, requires_grad=True), ds.tensor(data, requires_grad=True)
    results = []
    for layer, value, lib in ((theirs, x, torch), (ours, y, ds)):
        rnn, begin = lib.nn.utils.rnn, [lib.from_numpy(part) for part in start]
        packed = rnn.pack_padded_sequence(value, lengths, batch_first, enforce_sorted=False)
        out, state = layer(packed, tuple(begin) if name == "LSTM" else begin[0])
        padded, sizes = rnn.pad_packed_sequence(out, batch_first, total_length=7)
        assert sizes.tolist() == lengths
        state = lib.cat(state, -1) if name == "LSTM" else state
        (padded.sum() + state.sum()).backward()
        results.append((packed, padded, state))
    (packed, padded, state), (own_packed, own_padded, own_state) = results
    assert own_packed.batch_sizes.tolist() == packed.batch_sizes.tolist()
    close(own_packed.data, packed.data)
    close(own_padded, padded)
    close(own_state, state)
    close(y.grad, x.grad, 1e-4)
    for p, q in zip(theirs.parameters(), ours.parameters(), strict=False):
        close(q.grad, p.grad, 1e-4)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("packed", [False, True])
def test_recurrent_dtypes_under_autocast_are_torchs(name, packed):
    dtypes = []
    for lib, layer in zip((torch, ds), pair(name, (4, 5), {}), strict=True):
        x = lib.ones(6, 3, 4)
        if packed:
            x = lib.nn.utils.rnn.pack_padded_sequence(x, [6, 4, 1])
        with lib.autocast("cpu", dtype=lib.bfloat16):
            out, state = layer(x)
        parts = [out.data if packed else out, *(state if name == "LSTM" else [state])]
        dtypes.append([str(part.dtype).split(".")[-1] for part in parts])
    assert dtypes[0] == dtypes[1]


def test_sequences_are_padded_and_packed():
    rnn, own = torch.nn.utils.rnn, nn.utils.rnn
    parts = [np.arange(n * 2, dtype=np.float32).reshape(n, 2) for n in (3, 2, 1)]
    theirs, ours = [torch.tensor(p) for p in parts], [ds.tensor(p) for p in parts]
    for kwargs in ({}, {"batch_first": True, "padding_value": -1.0, "padding_side": "left"}):
        close(own.pad_sequence(ours, **kwargs), rnn.pad_sequence(theirs, **kwargs))
    packed = own.pack_sequence(ours)
    close(packed.data, rnn.pack_sequence(theirs).data)
    for got, part in zip(own.unpack_sequence(packed), parts, strict=False):
        np.testing.assert_array_equal(got.numpy(), part)
    with pytest.raises(RuntimeError, match="decreasing order"):
        own.pack_sequence(ours[::-1])
    with pytest.raises(ValueError, match="between 1 and 3"):
        own.pack_padded_sequence(ds.ones(3, 2, 1), [4, 1])


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_through_steps_of_a_cell_equal_torch(name, bias):
    results = []
    for lib, cell in zip((torch, ds), pair(name, (4, 17), {"bias": bias}), strict=True):
        data = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
        x, state, seen = lib.tensor(data, requires_grad=True), None, []
        for t in range(3):
            state = cell(x[t], state)
            seen.append(state[0] if name == "LSTMCell" else state)
        (lib.stack(seen) ** 2).sum().backward()
        results.append([*seen, x.grad, *(p.grad for p in cell.parameters())])
    for a, b in zip(results[1], results[0], strict=True):
        close(a, b, 1e-4)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("given", [False, True])
def test_dtypes_of_cells_under_autocast_are_torchs(name, given):
    dtypes = []
    for lib, cell in zip((torch, ds), pair(name, (4, 5), {}), strict=True):
        zero = lib.zeros(3, 5)
        state = ((zero, zero) if name == "LSTMCell" else zero) if given else None
        with lib.autocast("cpu", dtype=lib.bfloat16):
            out = cell(lib.ones(3, 4), state)
        parts = out if isinstance(out, tuple) else [out]
        dtypes.append([str(part.dtype).split(".")[-1] for part in parts])
    assert dtypes[0] == dtypes[1]


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_recurrent_cell_equals_torch(name):
    theirs, ours = pair(name, (4, 5), {})
    data = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    expected, got = theirs(torch.tensor(data)), ours(ds.tensor(data))
    for a, b in zip(
        got if name == "LSTMCell" else [got],
        expected if name == "LSTMCell" else [expected],
        strict=False,
    ):
        close(a, b)
    close_state = ours(ds.tensor(data), got)
    expected_state = theirs(torch.tensor(data), expected)
    close(
        close_state[0] if name == "LSTMCell" else close_state,
        expected_state[0] if name == "LSTMCell" else expected_state,
    )


@pytest.mark.parametrize(
    ("kwargs", "call"),
    [
        ({}, {}),
        ({"batch_first": True}, {"need_weights": False}),
        ({"batch_first": True}, {"average_attn_weights": False}),
        ({"add_bias_kv": True, "add_zero_attn": True}, {}),
        ({"bias": False}, {}),
    ],
)
def test_attention_equals_torch(kwargs, call):
    theirs, ours = pair("MultiheadAttention", (8, 2), kwargs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((3, 4, 8)).astype(np.float32) for _ in range(3))
    expected, weights = theirs(torch.tensor(q), torch.tensor(k), torch.tensor(v), **call)
    got, own = ours(ds.tensor(q), ds.tensor(k), ds.tensor(v), **call)
    close(got, expected)
    if weights is None:
        assert own is None
    else:
        close(own, weights)


def test_attention_masks_equal_torch():
    theirs, ours = pair("MultiheadAttention", (8, 2), {"batch_first": True})
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    padding = np.zeros((2, 5), dtype=bool)
    padding[1, 3:] = True
    causal = np.triu(np.ones((5, 5), dtype=bool), 1)
    t, d = torch.tensor(x), ds.tensor(x)
    expected = theirs(
        t, t, t, key_padding_mask=torch.tensor(padding), attn_mask=torch.tensor(causal)
    )[0]
    got = ours(d, d, d, key_padding_mask=ds.tensor(padding), attn_mask=ds.tensor(causal))[0]
    close(got, expected)


def test_weights_of_a_query_without_keys_are_nan_as_in_torch():
    theirs, ours = pair("MultiheadAttention", (8, 2), {"batch_first": True})
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    hidden = np.zeros((5, 5), dtype=bool)
    hidden[3] = True
    expected = theirs(*(torch.tensor(x),) * 3, attn_mask=torch.tensor(hidden))
    got = ours(*(ds.tensor(x),) * 3, attn_mask=ds.tensor(hidden))
    assert np.isnan(expected[0].detach().numpy()[0, 3]).all()
    for mine, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine.detach(), other.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_drops_the_weights_it_returns(masked):
    layer = nn.MultiheadAttention(8, 2, dropout=0.4, batch_first=True)
    x = ds.randn(3, 6, 8)
    mask = ds.ones(6, 6, dtype=ds.bool).triu(1) if masked else None
    out, weights = layer(x, x, x, attn_mask=mask, average_attn_weights=False)
    assert (weights == 0).sum().item() > (90 if masked else 0)
    value = nn.functional.linear(x, layer.in_proj_weight[16:], layer.in_proj_bias[16:])
    heads = value.reshape(3, 6, 2, 4).transpose(1, 2)
    close(out, layer.out_proj((weights @ heads).transpose(1, 2).reshape(3, 6, 8)).detach())


def test_transformer_stacks_equal_torch():
    torch.manual_seed(0)
    theirs = torch.nn.Transformer(8, 2, 2, 1, 16, 0.0, batch_first=True)
    ours = nn.Transformer(8, 2, 2, 1, 16, 0.0, batch_first=True)
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(0)
    src = rng.standard_normal((2, 5, 8)).astype(np.float32)
    tgt = rng.standard_normal((2, 4, 8)).astype(np.float32)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(4)
    own_mask = nn.Transformer.generate_square_subsequent_mask(4)
    np.testing.assert_array_equal(own_mask.numpy(), mask.numpy())
    expected = theirs(torch.tensor(src), torch.tensor(tgt), tgt_mask=mask)
    got = ours(ds.tensor(src), ds.tensor(tgt), tgt_mask=own_mask)
    close(got, expected)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
    close(copied(ds.tensor(src), ds.tensor(tgt), tgt_mask=own_mask), expected)
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8))
    np.testing.assert_array_equal(
        stack.layers[1].linear1.weight.detach().numpy(), layer.linear1.weight.detach().numpy()
    )
    assert stack.layers[0].linear1.weight is not stack.layers[1].linear1.weight


LOSSES = [
    ("MSELoss", {}, "real", "real"),
    ("MSELoss", {"reduction": "sum"}, "real", "real"),
    ("L1Loss", {"reduction": "none"}, "real", "real"),
    ("SmoothL1Loss", {"beta": 0.5}, "real", "real"),
    ("HuberLoss", {"delta": 0.7}, "real", "real"),
    ("CrossEntropyLoss", {}, "real", "label"),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 1}, "real", "label"),
    ("CrossEntropyLoss", {"weight": 5}, "real", "label"),
    ("NLLLoss", {"weight": 5}, "real", "label"),
    ("BCELoss", {}, "unit", "unit"),
    ("BCEWithLogitsLoss", {"pos_weight": 5}, "real", "unit"),
    ("KLDivLoss", {"reduction": "batchmean"}, "real", "unit"),
    ("HingeEmbeddingLoss", {"margin": 0.5}, "real", "sign"),
    ("SoftMarginLoss", {}, "real", "sign"),
    ("PoissonNLLLoss", {"full": True}, "real", "unit"),
    ("MultiMarginLoss", {"margin": 0.8}, "real", "label"),
    ("MultiLabelSoftMarginLoss", {}, "real", "unit"),
]


@pytest.mark.parametrize(("name", "kwargs", "first", "second"), LOSSES)
def test_loss_equals_torch(name, kwargs, first, second):
    rng = np.random.default_rng(0)
    make = {
        "real": lambda: rng.standard_normal((4, 5)).astype(np.float32),
        "unit": lambda: rng.uniform(0.1, 0.9, (4, 5)).astype(np.float32),
        "sign": lambda: np.sign(rng.standard_normal((4, 5))).astype(np.float32),
        "label": lambda: np.array([0, 1, 4, 2]),
    }
    a, b = make[first](), make[second]()
    weights = rng.uniform(0.5, 2, 5).astype(np.float32)

    def arguments(tensor):
        return {k: tensor(weights) if k.endswith("weight") else v for k, v in kwargs.items()}

    theirs = getattr(torch.nn, name)(**arguments(torch.tensor))
    ours = getattr(nn, name)(**arguments(ds.tensor))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x, y = torch.tensor(a, requires_grad=True), ds.tensor(a, requires_grad=True)
    expected, got = theirs(x, torch.tensor(b)), ours(y, ds.tensor(b))
    close(got, expected)
    expected.sum().backward()
    got.sum().backward()
    close(y.grad, x.grad)
    close(pickle.loads(pickle.dumps(ours))(y, ds.tensor(b)), expected)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("CosineEmbeddingLoss", {"margin": 0.1}),
        ("MarginRankingLoss", {}),
        ("TripletMarginLoss", {"swap": True}),
        ("GaussianNLLLoss", {"full": True}),
    ],
)
def test_loss_of_three_tensors_equals_torch(name, kwargs):
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((4, 5)).astype(np.float32) for _ in range(3))
    if name == "CosineEmbeddingLoss":
        c = np.array([1.0, -1.0, 1.0, -1.0], dtype=np.float32)
    if name == "MarginRankingLoss":
        c = np.sign(c)
    if name == "GaussianNLLLoss":
        c = np.abs(c) + 0.1
    theirs, ours = getattr(torch.nn, name)(**kwargs), getattr(nn, name)(**kwargs)
    close(ours(*map(ds.tensor, (a, b, c))), theirs(*map(torch.tensor, (a, b, c))))


def test_ctc_loss_equals_torch():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((12, 3, 6)).astype(np.float32)
    targets = rng.integers(1, 6, (3, 4))
    theirs = torch.nn.CTCLoss()(
        torch.tensor(logits).log_softmax(2), torch.tensor(targets), (12, 10, 12), (4, 3, 2)
    )
    ours = nn.CTCLoss()(
        ds.tensor(logits).log_softmax(2), ds.tensor(targets), (12, 10, 12), (4, 3, 2)
    )
    close(ours, theirs)


def test_cumulative_average_does_not_plan_again():
    layer = nn.BatchNorm1d(3, momentum=None)
    plans = []
    for _ in range(5):
        layer(ds.randn(4, 3)).sum().item()
        plans.append(ds._core.engine_stats()["plans"])
    assert plans[-1] == plans[1]
    assert layer.num_batches_tracked.item() == 5


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.Linear(10, 2)(ds.ones(2, 9)), ValueError, r"f32\[2,9\].*10"),
        (lambda: nn.Linear(2, 2)(ds.ones(2, 2, dtype=ds.int64)), TypeError, "differ in dtype"),
        (lambda: nn.Conv2d(3, 8, 3)(ds.ones(1, 4, 8, 8)), ValueError, "4 channels"),
        (lambda: nn.Conv2d(3, 5, 3, groups=2), ValueError, "groups 2 must divide"),
        (lambda: nn.BatchNorm2d(4)(ds.ones(3, 4)), ValueError, "must have 4 dimensions"),
        (lambda: nn.BatchNorm1d(3)(ds.ones(1, 3)), ValueError, "1 value per channel"),
        (lambda: nn.Dropout(2.0), ValueError, "between 0 and 1"),
        (lambda: nn.Embedding(4, 2)(ds.tensor([7])).sum().item(), IndexError, "7 is out of range"),
        (lambda: nn.Embedding(4, 2, padding_idx=9), ValueError, "padding_idx 9"),
        (
            lambda: nn.CrossEntropyLoss()(ds.ones(2, 3), ds.tensor([0, 5])).item(),
            IndexError,
            "label 5",
        ),
        (lambda: nn.LSTM(4, 5)(ds.ones(2, 3, 9)), ValueError, "last size must be 4"),
        (
            lambda: nn.GRU(4, 5)(ds.ones(2, 3, 4), ds.ones(1, 1, 5)),
            ValueError,
            r"must be \[1,3,5\]",
        ),
        (lambda: nn.LSTM(4, 5)(ds.ones(2, 3, 4), ds.ones(1, 3, 5)), TypeError, "must be a pair"),
        (lambda: nn.LSTMCell(4, 5)(ds.ones(2, 3)), ValueError, r"\[N, 4\]"),
        (lambda: nn.MultiheadAttention(5, 2), ValueError, "must divide embed_dim 5"),
        (lambda: nn.MultiheadAttention(4, 2)(*[ds.ones(2, 1, 8)] * 3), ValueError, "last sizes 4"),
        (
            lambda: nn.Transformer(8, 2, 1, 1, 8)(ds.ones(2, 1, 8), ds.ones(2, 2, 8)),
            ValueError,
            "must agree in their batch",
        ),
        (lambda: nn.init.kaiming_normal_(ds.ones(3)), ValueError, "at least 2 dimensions"),
        (lambda: nn.ZeroPad2d((1, 2, 3)), ValueError, "give 1 or 4"),
        (lambda: nn.Linear("a", 2), TypeError, "in_features: int"),
    ],
)
def test_errors_name_the_layer_and_the_sizes(call, error, text):
    with pytest.raises(error, match=text):
        call()
