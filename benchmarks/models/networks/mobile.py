# SPDX-License-Identifier: Apache-2.0
"""Networks of depthwise convolutions with squeeze and excitation."""

# Expansion, channels, blocks, stride, kernel: table 1 of Tan and Le, "EfficientNet", 2019.
EFFICIENTNET_B0 = [
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
]
# Kernel, inner channels, channels, squeezed, activation, stride: table 1 of Howard et al.,
# "Searching for MobileNetV3", 2019.
MOBILENET_V3_LARGE = [
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hardswish", 2),
    (3, 200, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 480, 112, True, "hardswish", 1),
    (3, 672, 112, True, "hardswish", 1),
    (5, 672, 160, True, "hardswish", 2),
    (5, 960, 160, True, "hardswish", 1),
    (5, 960, 160, True, "hardswish", 1),
]


def _parts(lib):
    nn = lib.nn
    activations = {"relu": nn.ReLU, "silu": nn.SiLU, "hardswish": nn.Hardswish}

    def conv(a, b, kernel=1, stride=1, groups=1, activation=""):
        layers = [
            nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(b),
        ]
        return layers + ([activations[activation]()] if activation else [])

    class Squeeze(nn.Module):
        def __init__(self, channels, inner, activation, gate):
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.reduce = nn.Conv2d(channels, inner, 1)
            self.activation = activations[activation]()
            self.expand = nn.Conv2d(inner, channels, 1)
            self.gate = gate()

        def forward(self, x):
            y = self.expand(self.activation(self.reduce(self.pool(x))))
            return x * self.gate(y)

    class Block(nn.Module):
        def __init__(self, a, inner, b, kernel, stride, activation, squeeze):
            super().__init__()
            self.shortcut = stride == 1 and a == b
            layers = conv(a, inner, activation=activation) if inner != a else []
            layers += conv(inner, inner, kernel, stride, inner, activation)
            self.layers = nn.Sequential(*layers, *squeeze, *conv(inner, b))

        def forward(self, x):
            return x + self.layers(x) if self.shortcut else self.layers(x)

    return conv, Squeeze, Block


def efficientnet(lib, table=EFFICIENTNET_B0, stem=32, last=1280, classes=1000):
    nn = lib.nn
    conv, squeeze, block = _parts(lib)
    layers, size = conv(3, stem, 3, 2, activation="silu"), stem
    for expand, channels, count, stride, kernel in table:
        for i in range(count):
            inner = size * expand
            gate = squeeze(inner, max(1, size // 4), "silu", nn.Sigmoid)
            step = stride if i == 0 else 1
            layers.append(block(size, inner, channels, kernel, step, "silu", [gate]))
            size = channels
    layers += conv(size, last, activation="silu")
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(last, classes)]
    return nn.Sequential(*layers, *head)


def efficientnet_b0(lib):
    return efficientnet(lib)


def efficientnet_tiny(lib):
    return efficientnet(lib, [(1, 8, 1, 1, 3), (6, 12, 2, 2, 5)], 8, 32, 10)


def mobilenet_v3(lib, table=MOBILENET_V3_LARGE, stem=16, hidden=1280, classes=1000):
    nn = lib.nn
    conv, squeeze, block = _parts(lib)
    layers, size = conv(3, stem, 3, 2, activation="hardswish"), stem
    for kernel, inner, channels, squeezed, activation, stride in table:
        gate = [squeeze(inner, inner // 4, "relu", nn.Hardsigmoid)] if squeezed else []
        layers.append(block(size, inner, channels, kernel, stride, activation, gate))
        size = channels
    layers += conv(size, 6 * size, activation="hardswish")
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6 * size, hidden), nn.Hardswish()]
    return nn.Sequential(*layers, *head, nn.Dropout(0.2), nn.Linear(hidden, classes))


def mobilenet_v3_large(lib):
    return mobilenet_v3(lib)


def mobilenet_v3_tiny(lib):
    table = [(3, 16, 8, False, "relu", 1), (5, 24, 12, True, "hardswish", 2)]
    return mobilenet_v3(lib, table, 8, 32, 10)
