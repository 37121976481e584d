# SPDX-License-Identifier: Apache-2.0
"""Networks that read images; parameters are named as in torchvision and timm."""


def _resnet_blocks(nn):
    class Block(nn.Module):
        def __init__(self, channels, width, stride, bottleneck):
            super().__init__()
            out = 4 * width if bottleneck else width
            sizes = (
                [(channels, width, 1, 1), (width, width, 3, stride), (width, out, 1, 1)]
                if bottleneck
                else [(channels, width, 3, stride), (width, width, 3, 1)]
            )
            self.count = len(sizes)
            for i, (a, b, kernel, step) in enumerate(sizes, 1):
                setattr(self, f"conv{i}", nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False))
                setattr(self, f"bn{i}", nn.BatchNorm2d(b))
            self.relu = nn.ReLU(inplace=True)
            self.downsample = None
            if stride != 1 or channels != out:
                self.downsample = nn.Sequential(
                    nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
                )

        def forward(self, x):
            y = x
            for i in range(1, self.count + 1):
                y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
                if i < self.count:
                    y = self.relu(y)
            y += x if self.downsample is None else self.downsample(x)
            return self.relu(y)

    return Block


def resnet(lib, layers, bottleneck, classes=1000, channels=3, width=64, small=False):
    """He et al. 2016. `small`: a 3x3 stem without pooling, for images of 32 pixels and less."""
    nn = lib.nn
    block = _resnet_blocks(nn)

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            kernel, stride = (3, 1) if small else (7, 2)
            self.conv1 = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
            size = width
            for i, count in enumerate(layers):
                blocks = []
                for b in range(count):
                    stride = 2 if b == 0 and i > 0 else 1
                    blocks.append(block(size, width << i, stride, bottleneck))
                    size = (width << i) * (4 if bottleneck else 1)
                setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(size, classes)

        def forward(self, x):
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            for i in range(len(layers)):
                x = getattr(self, f"layer{i + 1}")(x)
            return self.fc(self.avgpool(x).flatten(1))

    return ResNet()


def resnet50(lib):
    """The model of deepseek.models where that is what runs: its users take it from there."""
    return _own(lib, "resnet50") or resnet(lib, [3, 4, 6, 3], True)


def resnet18(lib):
    return _own(lib, "resnet18") or resnet(lib, [2, 2, 2, 2], False)


def resnet8(lib):
    return _own(lib, "resnet8") or resnet(lib, [1, 1, 1], False, 10, 1, 32, True)


def _own(lib, name):
    return getattr(lib.models, name)() if lib.__name__ == "deepseek" else None


# Expansion, channels, blocks, stride: table 2 of Sandler et al., "MobileNetV2", 2018.
MOBILENET_V2 = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]


def mobilenet_v2(lib, table=MOBILENET_V2, stem=32, last=1280, classes=1000):
    nn = lib.nn

    def conv(a, b, kernel=1, stride=1, groups=1):
        return [
            nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(b),
        ]

    class InvertedResidual(nn.Module):
        def __init__(self, a, b, stride, expand):
            super().__init__()
            hidden = a * expand
            self.shortcut = stride == 1 and a == b
            layers = [*conv(a, hidden), nn.ReLU6(inplace=True)] if expand != 1 else []
            layers += [
                *conv(hidden, hidden, 3, stride, hidden),
                nn.ReLU6(inplace=True),
                *conv(hidden, b),
            ]
            self.conv = nn.Sequential(*layers)

        def forward(self, x):
            return x + self.conv(x) if self.shortcut else self.conv(x)

    class MobileNetV2(nn.Module):
        def __init__(self):
            super().__init__()
            layers, size = [*conv(3, stem, 3, 2), nn.ReLU6(inplace=True)], stem
            for expand, channels, count, stride in table:
                for i in range(count):
                    layers.append(InvertedResidual(size, channels, stride if i == 0 else 1, expand))
                    size = channels
            layers += [*conv(size, last), nn.ReLU6(inplace=True)]
            self.features = nn.Sequential(*layers)
            self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

        def forward(self, x):
            return self.classifier(self.features(x).mean((2, 3)))

    return MobileNetV2()


def mobilenet_tiny(lib):
    return mobilenet_v2(lib, [(1, 8, 1, 1), (6, 12, 2, 2)], 8, 32, 10)


def vit(lib, size, patch, width, depth, heads, classes):
    """Dosovitskiy et al. 2021, with a class token."""
    nn, functional = lib.nn, lib.nn.functional

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(width, 3 * width)
            self.proj = nn.Linear(width, width)

        def forward(self, x):
            n, t, _ = x.shape
            qkv = self.qkv(x).reshape(n, t, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            y = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
            return self.proj(y.transpose(1, 2).reshape(n, t, width))

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            return self.fc2(functional.gelu(self.fc1(x)))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), Attention()
            self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), Mlp()

        def forward(self, x):
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class VisionTransformer(nn.Module):
        def __init__(self):
            super().__init__()
            count = (size // patch) ** 2
            self.cls_token = nn.Parameter(lib.zeros(1, 1, width))
            self.pos_embed = nn.Parameter(lib.randn(1, count + 1, width) * 0.02)
            self.patch_embed = nn.Conv2d(3, width, patch, patch)
            self.blocks = nn.Sequential(*[Block() for _ in range(depth)])
            self.norm = nn.LayerNorm(width, eps=1e-6)
            self.head = nn.Linear(width, classes)

        def forward(self, x):
            x = self.patch_embed(x).flatten(2).transpose(1, 2)
            x = lib.cat([self.cls_token.expand(x.shape[0], 1, width), x], 1) + self.pos_embed
            return self.head(self.norm(self.blocks(x))[:, 0])

    return VisionTransformer()


def vit_s16(lib):
    return vit(lib, 224, 16, 384, 12, 6, 1000)


def vit_tiny(lib):
    return vit(lib, 16, 8, 16, 1, 2, 10)


def group_norms(lib, classes=10, width=64):
    """Convolutions with group and instance normalisation, as in generators and detectors."""
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.GroupNorm(8, width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.GroupNorm(8, width),
        nn.SiLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.InstanceNorm2d(width, affine=True),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )


def enlarged(lib, classes=10, width=64):
    """Dilated convolutions whose result is enlarged again, as in segmentation."""
    nn = lib.nn

    def conv(cin, cout, stride=1, dilation=1):
        layer = nn.Conv2d(cin, cout, 3, stride, dilation, dilation, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(cout), nn.ReLU())

    return nn.Sequential(
        conv(3, width // 2),
        conv(width // 2, width, stride=2),
        conv(width, width, dilation=2),
        conv(width, width, dilation=4),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(width, classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
