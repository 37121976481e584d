# SPDX-License-Identifier: Apache-2.0
"""Lesson 5: save, load, resume."""

import tempfile
from pathlib import Path

import deepseek as ds
from deepseek import MixedPrecisionTrainer, data, models, optim


def make_trainer(folder, **more):
    ds.manual_seed(0)
    model = models.resnet8()
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    return MixedPrecisionTrainer(model, optimizer, checkpoint_dir=folder, progress=False, **more)


def make_loader():
    ds.manual_seed(1)
    x, y = ds.randn(64, 1, 8, 8), ds.randint(0, 10, (64,))
    return data.DataLoader(data.TensorDataset(x, y), batch_size=16, shuffle=True, seed=3)


with tempfile.TemporaryDirectory() as folder:
    # Weights in safetensors: any other reader of the format opens them.
    model = models.resnet8()
    path = Path(folder) / "weights.safetensors"
    ds.save(model.state_dict(), path)
    other = models.resnet8()
    other.load_state_dict(ds.load(path))
    x = ds.randn(2, 1, 8, 8)
    assert ds.allclose(model.eval()(x), other.eval()(x))
    print("saved and loaded", len(model.state_dict()), "tensors")

    # A checkpoint holds everything: two epochs in one go, or one, a stop, and one more.
    straight = make_trainer(Path(folder) / "a")
    straight.fit(make_loader(), epochs=2)
    make_trainer(Path(folder) / "b").fit(make_loader(), epochs=1)
    resumed = make_trainer(Path(folder) / "b", resume=True)
    resumed.fit(make_loader(), epochs=2)
    for a, b in zip(straight.model.parameters(), resumed.model.parameters(), strict=True):
        assert a.tolist() == b.tolist()
    print("a resumed run ends with the same weights, bit for bit")
