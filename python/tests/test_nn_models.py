# SPDX-License-Identifier: Apache-2.0
"""Models as PyTorch users write them: one source, run with either library from the same weights;
outputs and losses over several training steps agree."""

import math

import deepseek as ds
import numpy as np
import pytest
import torch


def gpt(lib):
    """A small GPT in the style of nanoGPT: tied weights, initialisation by apply(), groups."""
    nn, F = lib.nn, lib.nn.functional

    class Attention(nn.Module):
        def __init__(self, width, heads, length):
            super().__init__()
            self.c_attn = nn.Linear(width, 3 * width, bias=False)
            self.c_proj = nn.Linear(width, width)
            self.heads = heads
            mask = lib.tril(lib.ones(length, length)).view(1, 1, length, length)
            self.register_buffer("mask", mask, persistent=False)

        def forward(self, x):
            B, T, C = x.size()
            q, k, v = self.c_attn(x).split(C, dim=2)
            q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
            y = F.softmax(att, dim=-1) @ v
            fast = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            y = (y + fast) / 2
            return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))

    class Block(nn.Module):
        def __init__(self, width, heads, length):
            super().__init__()
            self.ln_1 = nn.LayerNorm(width)
            self.attn = Attention(width, heads, length)
            self.ln_2 = nn.LayerNorm(width, bias=False)
            self.mlp = nn.ModuleDict(
                dict(
                    c_fc=nn.Linear(width, 4 * width),
                    c_proj=nn.Linear(4 * width, width),
                    act=nn.GELU(approximate="tanh"),
                )
            )
            m = self.mlp
            self.mlpf = lambda x: m.c_proj(m.act(m.c_fc(x)))

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.mlpf(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self, vocab=17, width=16, heads=4, layers=2, length=8):
            super().__init__()
            self.transformer = nn.ModuleDict(
                dict(
                    wte=nn.Embedding(vocab, width),
                    wpe=nn.Embedding(length, width),
                    h=nn.ModuleList([Block(width, heads, length) for _ in range(layers)]),
                    ln_f=nn.LayerNorm(width),
                )
            )
            self.lm_head = nn.Linear(width, vocab, bias=False)
            self.transformer.wte.weight = self.lm_head.weight
            self.apply(self._init_weights)
            for name, p in self.named_parameters():
                if name.endswith("c_proj.weight"):
                    nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * layers))

        def _init_weights(self, module):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, mean=0.0, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, mean=0.0, std=0.02)

        def forward(self, idx, targets=None):
            pos = lib.arange(0, idx.size(1), dtype=lib.long)
            x = self.transformer.wte(idx) + self.transformer.wpe(pos)
            for block in self.transformer.h:
                x = block(x)
            logits = self.lm_head(self.transformer.ln_f(x))
            if targets is None:
                return logits, None
            loss = F.cross_entropy(
                logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1
            )
            return logits, loss

        def configure(self):
            params = {n: p for n, p in self.named_parameters() if p.requires_grad}
            decay = [p for p in params.values() if p.dim() >= 2]
            rest = [p for p in params.values() if p.dim() < 2]
            groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0}]
            return lib.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), fused=False)

    rng = np.random.default_rng(0)
    idx, targets = rng.integers(0, 17, (3, 8)), rng.integers(0, 17, (3, 8))
    targets[0, :2] = -1
    return GPT(), (idx, targets), lambda m, a, b: m(a, b)[1], lambda m: m.configure()


def resnet(lib):
    """Residual blocks in the style of torchvision."""
    nn = lib.nn

    class BasicBlock(nn.Module):
        expansion: int = 1

        def __init__(self, inplanes, planes, stride=1, downsample=None, norm_layer=None):
            super().__init__()
            norm_layer = norm_layer or nn.BatchNorm2d
            self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
            self.bn1 = norm_layer(planes)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
            self.bn2 = norm_layer(planes)
            self.downsample = downsample

        def forward(self, x):
            identity = x
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            if self.downsample is not None:
                identity = self.downsample(x)
            out += identity
            return self.relu(out)

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.inplanes = 8
            self.conv1 = nn.Conv2d(3, 8, kernel_size=3, stride=1, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(8)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
            self.layer1 = self._make_layer(8, 2)
            self.layer2 = self._make_layer(16, 1, stride=2)
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(16, 5)
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                elif isinstance(m, nn.BatchNorm2d | nn.GroupNorm):
                    nn.init.constant_(m.weight, 1)
                    nn.init.constant_(m.bias, 0)

        def _make_layer(self, planes, blocks, stride=1):
            downsample = None
            if stride != 1 or self.inplanes != planes:
                downsample = nn.Sequential(
                    nn.Conv2d(self.inplanes, planes, 1, stride, bias=False),
                    nn.BatchNorm2d(planes),
                )
            layers = [BasicBlock(self.inplanes, planes, stride, downsample)]
            self.inplanes = planes
            layers += [BasicBlock(planes, planes) for _ in range(1, blocks)]
            return nn.Sequential(*layers)

        def forward(self, x):
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            x = self.layer2(self.layer1(x))
            return self.fc(lib.flatten(self.avgpool(x), 1))

    rng = np.random.default_rng(0)
    data = rng.standard_normal((4, 3, 16, 16)).astype(np.float32), rng.integers(0, 5, 4)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    return (
        ResNet(),
        data,
        lambda m, x, y: criterion(m(x), y),
        lambda m: lib.optim.SGD(m.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4),
    )


def unet(lib):
    """Down and up again with skips, group norm and transposed convolutions."""
    nn, F = lib.nn, lib.nn.functional

    class Double(nn.Sequential):
        def __init__(self, a, b):
            super().__init__(
                nn.Conv2d(a, b, 3, padding=1),
                nn.GroupNorm(2, b),
                nn.SiLU(),
                nn.Conv2d(b, b, 3, padding=1),
                nn.GroupNorm(2, b),
                nn.SiLU(),
            )

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2 = Double(1, 4), Double(4, 8)
            self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
            self.last = nn.Sequential(Double(8, 4), nn.Conv2d(4, 1, 1))

        def forward(self, x):
            a = self.down1(x)
            b = self.down2(F.max_pool2d(a, 2))
            return self.last(lib.cat([a, self.up(b)], dim=1))

    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 1, 8, 8)).astype(np.float32)
    y = (rng.random((2, 1, 8, 8)) > 0.5).astype(np.float32)
    return (
        UNet(),
        (x, y),
        lambda m, x, y: F.binary_cross_entropy_with_logits(m(x), y),
        lambda m: lib.optim.RMSprop(m.parameters(), lr=1e-3),
    )


def seq2seq(lib):
    """LSTM encoder, GRU cell decoder fed by its own choice of words, dot attention."""
    nn, F = lib.nn, lib.nn.functional

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 6, padding_idx=0)
            self.encoder = nn.LSTM(6, 5, num_layers=2, batch_first=True, bidirectional=True)
            self.cell = nn.GRUCell(6, 10)
            self.out = nn.Linear(20, 11)

        def forward(self, src, tgt):
            memory, (h, _) = self.encoder(self.embed(src))
            state = lib.cat([h[-2], h[-1]], dim=-1)
            logits = []
            for t in range(tgt.shape[1]):
                state = self.cell(self.embed(tgt[:, t]), state)
                weights = F.softmax(lib.einsum("nth,nh->nt", memory, state), dim=-1)
                context = (weights.unsqueeze(-1) * memory).sum(1)
                logits.append(self.out(lib.cat((state, context), dim=-1)))
            return lib.stack(logits, dim=1)

    rng = np.random.default_rng(0)
    src, tgt = rng.integers(0, 11, (3, 5)), rng.integers(1, 11, (3, 4))

    def loss(model, src, tgt):
        logits = model(src, tgt[:, :-1])
        return F.cross_entropy(logits.transpose(1, 2), tgt[:, 1:])

    return Model(), (src, tgt), loss, lambda m: lib.optim.Adam(m.parameters(), lr=1e-2)


@pytest.mark.parametrize("build", [gpt, resnet, unet, seq2seq])
def test_training_equals_torch(build):
    torch.manual_seed(0)
    theirs, data, their_loss, their_optimizer = build(torch)
    ours, _, our_loss, our_optimizer = build(ds)
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    expected, got = [], []
    for model, tensor, loss_of, optimizer_of, lib, losses in (
        (theirs, torch.tensor, their_loss, their_optimizer, torch, expected),
        (ours, ds.tensor, our_loss, our_optimizer, ds, got),
    ):
        optimizer = optimizer_of(model)
        batch = [tensor(part) for part in data]
        for _ in range(5):
            optimizer.zero_grad()
            loss = loss_of(model, *batch)
            loss.backward()
            lib.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with lib.no_grad():
            losses.append(loss_of(model, *batch).item())
    np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)
    assert got[4] < got[0]
    for (name, p), q in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=False):
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=0.02, atol=2e-3, err_msg=name)


@pytest.mark.parametrize("build", [gpt, resnet, unet, seq2seq])
def test_steady_training_plans_once(build):
    model, data, loss_of, optimizer_of = build(ds)
    batch = [ds.tensor(part) for part in data]
    optimizer = optimizer_of(model)
    counts = []
    for step in range(6):
        optimizer.zero_grad()
        loss_of(model, *batch).backward()
        optimizer.param_groups[0]["lr"] = 1e-3 / (step + 1)
        optimizer.step()
        counts.append(ds._core.engine_stats()["plans"])
    assert counts[-1] == counts[1], ds.explain_recompile()
