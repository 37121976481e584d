# SPDX-License-Identifier: Apache-2.0
"""Networks of many kinds, written once for either library: each function takes the library and
returns the model, its data as NumPy arrays and the loss of model and data."""

import numpy as np

NETWORKS = []


def network(build):
    NETWORKS.append(build)
    return build


def floats(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def integers(below, *shape):
    return np.random.default_rng(below + sum(shape)).integers(0, below, shape)


def square(lib):
    return lambda model, *data: model(*data).pow(2).mean()


def classes(lib):
    return lambda model, *data: lib.nn.functional.cross_entropy(model(*data[:-1]), data[-1])


def own(lib):
    return lambda model, *data: model(*data)


def conv_norm(lib, cin, cout, size=3, stride=1, groups=1, dilation=1, act="ReLU"):
    nn = lib.nn
    padding = dilation * (size // 2)
    conv = nn.Conv2d(cin, cout, size, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), getattr(nn, act)())


@network
def autoencoder(lib):
    nn, F = lib.nn, lib.nn.functional

    class Autoencoder(nn.Module):
        """Variational; the noise is data, so that it is the same in both libraries."""

        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(200, 100)
            self.mean, self.log_variance = nn.Linear(100, 10), nn.Linear(100, 10)
            self.decoder, self.output = nn.Linear(10, 100), nn.Linear(100, 200)

        def forward(self, x, noise):
            x = lib.sigmoid(x)
            hidden = F.relu(self.encoder(x))
            mean, log_variance = self.mean(hidden), self.log_variance(hidden)
            code = mean + lib.exp(0.5 * log_variance) * noise
            again = lib.sigmoid(self.output(F.relu(self.decoder(code))))
            distance = -0.5 * lib.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            return F.binary_cross_entropy(again, x, reduction="sum") / 100 + distance

    return Autoencoder(), (floats(64, 200), floats(64, 10)), own(lib)


@network
def several_heads(lib):
    nn = lib.nn

    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Linear(32, 64)
            self.heads = nn.ModuleList([nn.Linear(64, n) for n in (2, 3, 2, 5)])

        def forward(self, x):
            hidden = self.trunk(x).tanh()
            return lib.cat([head(hidden) for head in self.heads], dim=-1)

    return Heads(), (floats(48, 32),), square(lib)


@network
def image_generator(lib):
    nn = lib.nn
    model = nn.Sequential(
        nn.ConvTranspose2d(20, 16, 4, 1, 0, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(True),
        nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    return model, (floats(4, 20, 1, 1),), square(lib)


@network
def discriminator(lib):
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(8, 16, 4, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(16, 1, 4, 1, 0),
        nn.Sigmoid(),
    )
    return model, (floats(4, 3, 16, 16),), square(lib)


@network
def convnext(lib):
    nn, F = lib.nn, lib.nn.functional

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
            self.norm = nn.LayerNorm(width)
            self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
            return x + self.narrow(F.gelu(self.wide(y))).permute(0, 3, 1, 2)

    pool = nn.AdaptiveAvgPool2d(1)
    down = nn.Conv2d(16, 24, 2, 2)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 4, 4), Block(16), down, Block(24), pool, nn.Flatten(), nn.Linear(24, 5)
    )
    return model, (floats(2, 3, 32, 32), integers(5, 2)), classes(lib)


@network
def efficientnet(lib):
    nn, F = lib.nn, lib.nn.functional

    class Excite(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.reduce = nn.Conv2d(width, width // 4, 1)
            self.expand = nn.Conv2d(width // 4, width, 1)

        def forward(self, x):
            y = x.mean((2, 3), keepdim=True)
            return x * lib.sigmoid(self.expand(F.silu(self.reduce(y))))

    class Block(nn.Module):
        def __init__(self, cin, cout, stride, size):
            super().__init__()
            wide = 4 * cin
            self.body = nn.Sequential(
                conv_norm(lib, cin, wide, 1, act="SiLU"),
                conv_norm(lib, wide, wide, size, stride, wide, act="SiLU"),
                Excite(wide),
                nn.Conv2d(wide, cout, 1, bias=False),
                nn.BatchNorm2d(cout),
            )
            self.residual = stride == 1 and cin == cout

        def forward(self, x):
            return x + self.body(x) if self.residual else self.body(x)

    stem = conv_norm(lib, 3, 8, 3, 2, act="SiLU")
    blocks = [Block(8, 12, 2, 3), Block(12, 12, 1, 5)]
    model = nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5))
    return model, (floats(4, 3, 32, 32), integers(5, 4)), classes(lib)


@network
def inception(lib):
    nn = lib.nn

    class Block(nn.Module):
        def __init__(self, cin):
            super().__init__()
            self.branches = nn.ModuleList(
                [
                    conv_norm(lib, cin, 8, 1),
                    nn.Sequential(conv_norm(lib, cin, 6, 1), conv_norm(lib, 6, 8)),
                    nn.Sequential(conv_norm(lib, cin, 2, 1), conv_norm(lib, 2, 4, 5)),
                    nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_norm(lib, cin, 4, 1)),
                ]
            )

        def forward(self, x):
            return lib.cat([branch(x) for branch in self.branches], 1)

    blocks = [Block(16), nn.MaxPool2d(3, 2, 1), Block(24)]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5)]
    return (
        nn.Sequential(conv_norm(lib, 3, 16, 7, 2), *blocks, *tail),
        (floats(4, 3, 32, 32), integers(5, 4)),
        classes(lib),
    )


@network
def densenet(lib):
    nn, F = lib.nn, lib.nn.functional

    class Layer(nn.Module):
        def __init__(self, cin):
            super().__init__()
            self.norm = nn.BatchNorm2d(cin)
            self.conv = nn.Conv2d(cin, 8, 3, padding=1, bias=False)

        def forward(self, x):
            return lib.cat([x, self.conv(F.relu(self.norm(x)))], 1)

    layers = [Layer(8 + 8 * k) for k in range(4)]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 5)]
    model = nn.Sequential(conv_norm(lib, 3, 8, 3, 2), *layers, *tail)
    return model, (floats(4, 3, 16, 16), integers(5, 4)), classes(lib)


@network
def group_norms(lib):
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.GroupNorm(1, 16),
        nn.SiLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.InstanceNorm2d(16, affine=True),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 81, 5),
    )
    return model, (floats(3, 3, 9, 9), integers(5, 3)), classes(lib)


@network
def dilated(lib):
    nn = lib.nn
    model = nn.Sequential(
        conv_norm(lib, 3, 8, stride=2),
        conv_norm(lib, 8, 8, dilation=2),
        conv_norm(lib, 8, 8, dilation=4, groups=2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(8, 5, 1),
    )
    return model, (floats(2, 3, 24, 24), integers(5, 2, 24, 24)), classes(lib)


@network
def pyramid(lib):
    nn, F = lib.nn, lib.nn.functional

    class Pyramid(nn.Module):
        """Every way to enlarge what convolutions made, by whole and by broken factors."""

        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList([conv_norm(lib, 3 if i == 0 else 8, 8) for i in range(5)])

        def forward(self, x):
            x = self.convs[0](F.interpolate(x, size=(13, 9), mode="bilinear"))
            x = self.convs[1](F.interpolate(x, scale_factor=2))
            x = self.convs[2](F.interpolate(x, size=(11, 20), mode="bilinear", align_corners=True))
            x = self.convs[3](F.interpolate(x, scale_factor=(1.5, 0.7), mode="bicubic"))
            return self.convs[4](F.interpolate(x, size=(16, 10), mode="nearest-exact"))

    return Pyramid(), (floats(2, 3, 7, 6),), square(lib)


@network
def super_resolution(lib):
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.Tanh(),
        nn.ReflectionPad2d(1),
        nn.Conv2d(16, 9, 3),
        nn.PixelShuffle(3),
        nn.AvgPool2d(2, ceil_mode=True),
    )
    return model, (floats(2, 1, 9, 11),), square(lib)


@network
def signal(lib):
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv1d(1, 8, 9, 2, 4),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Conv1d(8, 16, 9, 2, 4),
        nn.MaxPool1d(3, 2),
        nn.ConvTranspose1d(16, 8, 4, 2, 1),
        nn.ELU(),
        nn.AdaptiveAvgPool1d(3),
        nn.Flatten(),
        nn.Linear(24, 5),
    )
    return model, (floats(4, 1, 101), integers(5, 4)), classes(lib)


@network
def wavenet(lib):
    nn, F = lib.nn, lib.nn.functional

    class Wavenet(nn.Module):
        def __init__(self):
            super().__init__()
            self.input, self.output = nn.Conv1d(1, 8, 1), nn.Conv1d(8, 6, 1)
            self.gates = nn.ModuleList([nn.Conv1d(8, 16, 2, dilation=2**k) for k in range(4)])
            self.mixes = nn.ModuleList([nn.Conv1d(8, 8, 1) for _ in range(4)])

        def forward(self, x):
            x = self.input(x)
            for k, (gate, mix) in enumerate(zip(self.gates, self.mixes, strict=True)):
                a, b = gate(F.pad(x, (2**k, 0))).chunk(2, 1)
                x = x + mix(lib.tanh(a) * lib.sigmoid(b))
            return self.output(x)

    return Wavenet(), (floats(2, 1, 50), integers(6, 2, 50)), classes(lib)


@network
def video(lib):
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv3d(3, 8, 3, padding=1),
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Conv3d(8, 8, 3, padding=1),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    return model, (floats(2, 3, 6, 10, 10), integers(5, 2)), classes(lib)


def recurrent(kind, layers, bidirectional):
    def build(lib):
        nn = lib.nn

        class Recurrent(nn.Module):
            def __init__(self):
                super().__init__()
                self.cells = getattr(nn, kind)(
                    12, 16, layers, batch_first=True, bidirectional=bidirectional
                )
                self.output = nn.Linear(32 if bidirectional else 16, 5)

            def forward(self, x):
                return self.output(self.cells(x)[0][:, -1])

        return Recurrent(), (floats(6, 9, 12), integers(5, 6)), classes(lib)

    build.__name__ = f"{'two_way_' if bidirectional else ''}{kind.lower()}"
    return build


for arguments in (("RNN", 1, False), ("GRU", 2, False), ("LSTM", 2, False), ("LSTM", 1, True)):
    network(recurrent(*arguments))


@network
def recommender(lib):
    nn = lib.nn

    class Recommender(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = nn.ModuleList([nn.EmbeddingBag(50, 8, mode=m) for m in ("sum", "mean")])
            self.bottom = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 8))
            self.top = nn.Sequential(nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 2))

        def forward(self, x, bags):
            sums = [table(bags[:, i]) for i, table in enumerate(self.tables)]
            return self.top(lib.cat([self.bottom(x), *sums], 1))

    return Recommender(), (floats(20, 13), integers(50, 20, 2, 3), integers(2, 20)), classes(lib)


@network
def translation(lib):
    nn = lib.nn

    class Translation(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(30, 16)
            self.body = nn.Transformer(16, 4, 1, 2, 32, dropout=0.0, batch_first=True)
            self.output = nn.Linear(16, 30)

        def forward(self, source, target):
            mask = self.body.generate_square_subsequent_mask(target.shape[1])
            hidden = self.body(self.embed(source), self.embed(target), tgt_mask=mask)
            return self.output(hidden).transpose(1, 2)

    data = integers(30, 3, 7), integers(30, 3, 6), integers(30, 3, 6)
    return Translation(), data, classes(lib)


@network
def padded_encoder(lib):
    nn = lib.nn

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
            self.embed, self.output = nn.Embedding(30, 16), nn.Linear(16, 5)
            self.body = nn.TransformerEncoder(layer, 2)

        def forward(self, tokens):
            hidden = self.body(self.embed(tokens), src_key_padding_mask=tokens < 5)
            return self.output(hidden[:, 0])

    return (
        Encoder(),
        (integers(25, 4, 9) + 5 * (integers(3, 4, 9) > 0), integers(5, 4)),
        classes(lib),
    )


@network
def graph_convolution(lib):
    nn, F = lib.nn, lib.nn.functional

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 5)

        def forward(self, x, src, dst):
            for layer in (self.first, self.second):
                hidden = layer(x)
                x = F.relu(lib.zeros_like(hidden).index_add(0, dst, hidden[src]))
            return x

    data = floats(40, 8), integers(40, 120), integers(39, 120), integers(5, 40)
    return Graph(), data, classes(lib)


@network
def sine_network(lib):
    nn = lib.nn

    class Sine(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 32), nn.Linear(32, 32)])
            self.output = nn.Linear(32, 3)

        def forward(self, x):
            for layer in self.layers:
                x = lib.sin(3 * layer(x))
            return self.output(x)

    return Sine(), (floats(100, 2),), square(lib)


@network
def differential_equation(lib):
    nn = lib.nn

    class Heat(nn.Module):
        """Gradients of gradients with respect to the input."""

        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
            )

        def forward(self, x):
            with lib.enable_grad():
                x = x.detach().requires_grad_(True)
                u = self.body(x)
                first = lib.autograd.grad(u.sum(), x, create_graph=True)[0]
                second = lib.autograd.grad(first[:, 0].sum(), x, create_graph=True)[0]
                return (second[:, 0] - first[:, 1] + u[:, 0]).pow(2).mean()

    return Heat(), (floats(30, 2),), own(lib)
