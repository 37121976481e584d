# SPDX-License-Identifier: Apache-2.0
"""Models against the same networks in PyTorch."""

import copy
import pickle

import deepseek as ds
import numpy as np
import pytest
import torch


class TorchBlock(torch.nn.Module):
    """torchvision's blocks, written out: torchvision is not a dependency."""

    def __init__(self, cin, width, stride, bottleneck):
        super().__init__()
        sizes = (
            [(cin, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
            if bottleneck
            else [(cin, width, 3, stride), (width, width, 3, 1)]
        )
        self.count = len(sizes)
        for i, (a, b, k, s) in enumerate(sizes, 1):
            setattr(self, f"conv{i}", torch.nn.Conv2d(a, b, k, s, k // 2, bias=False))
            setattr(self, f"bn{i}", torch.nn.BatchNorm2d(b))
        out = sizes[-1][1]
        self.downsample = None
        if stride != 1 or cin != out:
            self.downsample = torch.nn.Sequential(
                torch.nn.Conv2d(cin, out, 1, stride, bias=False), torch.nn.BatchNorm2d(out)
            )

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class TorchResNet(torch.nn.Module):
    def __init__(self, layers, bottleneck, classes, cin, width, small):
        super().__init__()
        self.small = small
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = torch.nn.Conv2d(cin, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        size = width
        for i, count in enumerate(layers):
            blocks = []
            for b in range(count):
                w = width << i
                blocks.append(TorchBlock(size, w, 2 if b == 0 and i > 0 else 1, bottleneck))
                size = 4 * w if bottleneck else w
            setattr(self, f"layer{i + 1}", torch.nn.Sequential(*blocks))
        self.stages = len(layers)
        self.fc = torch.nn.Linear(size, classes)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        if not self.small:
            x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize(
    "layers, bottleneck, width, small, size",
    [
        ([1, 1, 1], False, 8, True, 8),
        ([2, 1, 1, 1], False, 8, False, 40),
        ([1, 2, 1, 1], True, 4, False, 33),
    ],
)
def test_resnet_equals_pytorch(layers, bottleneck, width, small, size):
    torch.manual_seed(0)
    theirs = TorchResNet(layers, bottleneck, 7, 3, width, small)
    mine = ds.models.ResNet(layers, bottleneck, 7, 3, width, small)
    state = {k: ds.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    mine.load_state_dict(state)
    x = np.random.default_rng(0).standard_normal((4, 3, size, size)).astype(np.float32)
    labels = [0, 3, 6, 2]
    t = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(labels))
    m = ds.nn.functional.cross_entropy(mine(ds.tensor(x)), ds.tensor(labels))
    t.backward()
    m.backward()
    assert m.item() == pytest.approx(t.item(), rel=1e-4)
    gradients = dict(mine.named_parameters())
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(
            gradients[name].grad.numpy(), parameter.grad.numpy(), rtol=2e-2, atol=2e-4, err_msg=name
        )
    for name, buffer in theirs.named_buffers():
        np.testing.assert_allclose(
            mine.state_dict()[name].numpy(), buffer.numpy(), rtol=1e-3, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
    ],
)
def test_sizes_are_the_published_ones(name, parameters):
    model = ds.models.create(name, 1000, 3)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_models_copy_and_pickle():
    model = ds.models.resnet8().eval()
    x = ds.randn(2, 1, 8, 8)
    expected = model(x).tolist()
    assert copy.deepcopy(model)(x).tolist() == expected
    assert pickle.loads(pickle.dumps(model))(x).tolist() == expected


def test_a_layer_can_be_replaced():
    model = ds.models.resnet8()
    model.fc = ds.nn.Linear(128, 3)
    assert model(ds.ones(2, 1, 8, 8)).shape == (2, 3)


def test_an_unknown_model_lists_the_known():
    with pytest.raises(ds.KeyError, match="resnet50"):
        ds.models.create("resnet51", 10, 3)
