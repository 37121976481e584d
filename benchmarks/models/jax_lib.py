# SPDX-License-Identifier: Apache-2.0
"""As much of PyTorch's interface over JAX as the networks of this benchmark use.

With it JAX runs the same lines as the other frameworks: while jax.jit traces, the parameters hold
tracers, and what is compiled is plain jax.numpy. Running statistics of batch normalisation are not
kept: training does not read them, which leaves JAX a little less to do.
"""

import math
import types

import jax
import jax.numpy as jnp
import numpy as np


class Tensor:
    """An array with PyTorch's methods."""

    def __init__(self, value):
        self.value = jnp.asarray(value)

    shape = property(lambda self: self.value.shape)

    def __getitem__(self, index):
        return Tensor(self.value[index])

    def reshape(self, *sizes):
        return Tensor(self.value.reshape(*sizes))

    view = reshape

    def flatten(self, start=0):
        return self.reshape(*self.shape[:start], -1)

    def transpose(self, a, b):
        return Tensor(jnp.swapaxes(self.value, a, b))

    def permute(self, *dims):
        return Tensor(self.value.transpose(*dims))

    def expand(self, *sizes):
        return Tensor(jnp.broadcast_to(self.value, sizes))

    def unsqueeze(self, dim):
        return Tensor(jnp.expand_dims(self.value, dim))

    def split(self, size, dim):
        return [Tensor(part) for part in jnp.split(self.value, self.shape[dim] // size, dim)]

    def mean(self, dim, keepdim=False):
        return Tensor(self.value.mean(dim, keepdims=keepdim))

    def pow(self, exponent):
        return Tensor(self.value**exponent)

    def float(self):
        return Tensor(self.value.astype(jnp.float32))

    def __neg__(self):
        return Tensor(-self.value)


def _binary(name):
    def operator(self, other):
        other = other.value if isinstance(other, Tensor) else other
        return Tensor(getattr(self.value, name)(other))

    return operator


for _name in ("add", "sub", "mul", "truediv", "matmul"):
    setattr(Tensor, f"__{_name}__", _binary(f"__{_name}__"))
    setattr(Tensor, f"__r{_name}__", _binary(f"__r{_name}__"))


class Parameter(Tensor):
    """A leaf that the optimizer updates."""


class Module:
    training = True

    def __call__(self, *inputs):
        return self.forward(*inputs)

    def children(self):
        return {k: v for k, v in self.__dict__.items() if isinstance(v, Module | Parameter)}

    def named(self, prefix=""):
        """Every parameter once, with its first name."""
        for name, child in self.children().items():
            if isinstance(child, Parameter):
                yield prefix + name, child
            else:
                yield from child.named(f"{prefix}{name}.")

    def modules(self):
        yield self
        for child in self.children().values():
            if isinstance(child, Module):
                yield from child.modules()

    def train(self, on=True):
        for module in self.modules():
            module.training = on


class ModuleList(Module):
    def __init__(self, modules):
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def __iter__(self):
        return iter(self.children().values())

    def __getitem__(self, index):
        return list(self)[index]


class Sequential(ModuleList):
    def __init__(self, *modules):
        super().__init__(modules)

    def forward(self, x):
        for module in self:
            x = module(x)
        return x


class Linear(Module):
    def __init__(self, inputs, outputs, bias=True):
        self.weight = Parameter(jnp.zeros((outputs, inputs)))
        if bias:
            self.bias = Parameter(jnp.zeros(outputs))

    def forward(self, x):
        y = x @ Tensor(self.weight.value.T)
        return y + self.bias if hasattr(self, "bias") else y


class Conv2d(Module):
    def __init__(
        self, inputs, outputs, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True
    ):
        self.options = {
            "window_strides": (stride, stride),
            "rhs_dilation": (dilation, dilation),
            "feature_group_count": groups,
            "padding": ((padding, padding), (padding, padding)),
        }
        self.weight = Parameter(jnp.zeros((outputs, inputs // groups, kernel, kernel)))
        if bias:
            self.bias = Parameter(jnp.zeros(outputs))

    def forward(self, x):
        y = jax.lax.conv_general_dilated(x.value, self.weight.value, **self.options)
        return Tensor(y + self.bias.value[:, None, None] if hasattr(self, "bias") else y)


class BatchNorm2d(Module):
    def __init__(self, channels):
        self.weight = Parameter(jnp.ones(channels))
        self.bias = Parameter(jnp.zeros(channels))

    def forward(self, x):
        mean = x.value.mean((0, 2, 3), keepdims=True)
        variance = jnp.square(x.value - mean).mean((0, 2, 3), keepdims=True)
        y = (x.value - mean) * jax.lax.rsqrt(variance + 1e-5)
        return Tensor(y * self.weight.value[:, None, None] + self.bias.value[:, None, None])


class LayerNorm(Module):
    def __init__(self, width, eps=1e-5):
        self.weight, self.bias = Parameter(jnp.ones(width)), Parameter(jnp.zeros(width))
        self.eps = eps

    def forward(self, x):
        mean = x.value.mean(-1, keepdims=True)
        variance = jnp.square(x.value - mean).mean(-1, keepdims=True)
        y = (x.value - mean) * jax.lax.rsqrt(variance + self.eps)
        return Tensor(y * self.weight.value + self.bias.value)


class GroupNorm(Module):
    def __init__(self, groups, channels):
        self.groups = groups
        self.weight, self.bias = Parameter(jnp.ones(channels)), Parameter(jnp.zeros(channels))

    def forward(self, x):
        parts = x.value.reshape(x.shape[0], self.groups, -1)
        mean = parts.mean(-1, keepdims=True)
        variance = jnp.square(parts - mean).mean(-1, keepdims=True)
        y = ((parts - mean) * jax.lax.rsqrt(variance + 1e-5)).reshape(x.shape)
        return Tensor(y * self.weight.value[:, None, None] + self.bias.value[:, None, None])


class InstanceNorm2d(GroupNorm):
    def __init__(self, channels, affine):
        assert affine
        super().__init__(channels, channels)


class Upsample(Module):
    def __init__(self, scale_factor, mode):
        assert mode == "bilinear"
        self.scale = scale_factor

    def forward(self, x):
        *outer, rows, columns = x.shape
        shape = (*outer, rows * self.scale, columns * self.scale)
        return Tensor(jax.image.resize(x.value, shape, "linear"))


class Embedding(Module):
    def __init__(self, count, width):
        self.weight = Parameter(jnp.zeros((count, width)))

    def forward(self, x):
        return Tensor(self.weight.value[x.value])


class Dropout(Module):
    key = None  # of the running step; set by Jax.loss

    def __init__(self, p):
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        Dropout.key, key = jax.random.split(Dropout.key)
        keep = jax.random.bernoulli(key, 1 - self.p, x.shape)
        return Tensor(jnp.where(keep, x.value / (1 - self.p), 0))


class LSTM(Module):
    def __init__(self, inputs, width, layers, batch_first, bidirectional=False):
        self.layers, self.endings = layers, ("", "_reverse") if bidirectional else ("",)
        for i in range(layers):
            columns = inputs if i == 0 else width * len(self.endings)
            for end in self.endings:
                setattr(self, f"weight_ih_l{i}{end}", Parameter(jnp.zeros((4 * width, columns))))
                setattr(self, f"weight_hh_l{i}{end}", Parameter(jnp.zeros((4 * width, width))))
                for name in ("ih", "hh"):
                    setattr(self, f"bias_{name}_l{i}{end}", Parameter(jnp.zeros(4 * width)))

    def _direction(self, x, ending):
        w, u, b, c = (
            getattr(self, f"{kind}_l{ending}").value
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )

        def cell(state, gates):
            hidden, memory = state
            i, f, g, o = jnp.split(gates + hidden @ u.T, 4, -1)
            memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(memory)
            return (hidden, memory), hidden

        zero = jnp.zeros((x.shape[1], u.shape[1]))
        reverse = ending.endswith("_reverse")
        return jax.lax.scan(cell, (zero, zero), x @ w.T + b + c, reverse=reverse)[1]

    def forward(self, x):
        x = jnp.swapaxes(x.value, 0, 1)
        for i in range(self.layers):
            x = jnp.concatenate([self._direction(x, f"{i}{end}") for end in self.endings], -1)
        return Tensor(jnp.swapaxes(x, 0, 1)), None


def _elementwise(function):
    class Layer(Module):
        def __init__(self, inplace=False):
            pass

        def forward(self, x):
            return Tensor(function(x.value))

    return Layer


class MaxPool2d(Module):
    def __init__(self, kernel, stride, padding):
        self.window, self.strides = (1, 1, kernel, kernel), (1, 1, stride, stride)
        self.padding = ((0, 0), (0, 0), (padding, padding), (padding, padding))

    def forward(self, x):
        return Tensor(
            jax.lax.reduce_window(
                x.value, -jnp.inf, jax.lax.max, self.window, self.strides, self.padding
            )
        )


class AdaptiveAvgPool2d(Module):
    """To one pixel, which is all the networks ask for."""

    def __init__(self, size):
        assert size in (1, (1, 1))

    def forward(self, x):
        return x.mean((2, 3), keepdim=True)


class Flatten(Module):
    def __init__(self):
        pass

    def forward(self, x):
        return Tensor(x.value.reshape(x.shape[0], -1))


def scaled_dot_product_attention(q, k, v, is_causal=False):
    scores = q.value @ jnp.swapaxes(k.value, 2, 3) / math.sqrt(q.shape[-1])
    if is_causal:
        allowed = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        scores = jnp.where(allowed, scores, -jnp.inf)
    return Tensor(jax.nn.softmax(scores, -1) @ v.value)


def cross_entropy(logits, targets):
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits.value, -1), targets.value[:, None], -1)
    return Tensor(-chosen.mean())


def _namespace(name, **content):
    module = types.ModuleType(name)
    module.__dict__.update(content)
    return module


functional = _namespace(
    "functional",
    scaled_dot_product_attention=scaled_dot_product_attention,
    cross_entropy=cross_entropy,
    relu=lambda x: Tensor(jax.nn.relu(x.value)),
    gelu=lambda x, approximate="none": Tensor(jax.nn.gelu(x.value, approximate == "tanh")),
    softmax=lambda x, dim: Tensor(jax.nn.softmax(x.value, dim)),
    linear=lambda x, weight: Tensor(x.value @ weight.value.T),
)
nn = _namespace(
    "nn",
    Module=Module,
    ModuleList=ModuleList,
    Sequential=Sequential,
    Linear=Linear,
    Conv2d=Conv2d,
    BatchNorm2d=BatchNorm2d,
    LayerNorm=LayerNorm,
    GroupNorm=GroupNorm,
    InstanceNorm2d=InstanceNorm2d,
    Upsample=Upsample,
    Embedding=Embedding,
    Dropout=Dropout,
    LSTM=LSTM,
    MaxPool2d=MaxPool2d,
    AdaptiveAvgPool2d=AdaptiveAvgPool2d,
    Flatten=Flatten,
    ReLU=_elementwise(jax.nn.relu),
    ReLU6=_elementwise(jax.nn.relu6),
    SiLU=_elementwise(jax.nn.silu),
    Identity=_elementwise(lambda x: x),
    functional=functional,
    Parameter=lambda x: Parameter(x.value),
    init=_namespace("init", normal_=lambda parameter, std: None),
)  # weights come from a file


def ones(*sizes):
    return Tensor(jnp.ones(sizes))


def zeros(*sizes):
    return Tensor(jnp.zeros(sizes))


randn = zeros  # weights come from a file


def tensor(data):
    """Keeps a NumPy array: a network may hold it from one trace to the next."""
    made = Tensor.__new__(Tensor)
    made.value = np.asarray(data)
    return made


def arange(count):
    return Tensor(jnp.arange(count))


def zeros_like(x):
    return Tensor(jnp.zeros_like(x.value))


def tanh(x):
    return Tensor(jnp.tanh(x.value))


def rsqrt(x):
    return Tensor(jax.lax.rsqrt(x.value))


def cat(tensors, dim):
    return Tensor(jnp.concatenate([x.value for x in tensors], dim))
