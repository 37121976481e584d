# SPDX-License-Identifier: Apache-2.0
"""MixedPrecisionTrainer from Python: learning, exact resume, callbacks, errors, Ctrl-C."""

import io
import os
import signal

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import MixedPrecisionTrainer, nn
from deepseek.data import DataLoader, TensorDataset
from deepseek.optim import SGD, AdamW, lr_scheduler
from deepseek.train import Callback, EarlyStopping, ModelCheckpoint


def blobs(n=96):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    x = np.eye(4, dtype=np.float32)[y] * 1.2 - 0.2 + rng.uniform(-0.5, 0.5, (n, 4))
    return ds.tensor(x.astype(np.float32)), ds.tensor(y)


def loader(n=96, batch_size=16, **kwargs):
    return DataLoader(TensorDataset(*blobs(n)), batch_size=batch_size, **kwargs)


class Net(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.hidden = nn.Linear(4, 16)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(16, 3)

    def forward(self, x):
        return self.out(self.dropout(self.hidden(x).relu()))


def net(dropout=0.0):
    ds.manual_seed(1)
    return Net(dropout)


def trainer(model=None, optimizer=AdamW, **kwargs):
    kwargs.setdefault("optimizer_args", {"lr": 0.02})
    return MixedPrecisionTrainer(
        model=model or net(), optimizer=optimizer, dtype=ds.bfloat16, progress=False, **kwargs
    )


def weights(t):
    return [p.detach().numpy().copy() for p in t.model.parameters()]


def test_the_call_of_the_quick_start_learns():
    model = net()
    t = MixedPrecisionTrainer(
        model=model, optimizer=AdamW, fp16_layers=["conv", "linear"], loss_scale=128
    )
    assert any(word in t.precision for word in ("BF16", "FP16", "FP32"))
    history = t.fit(loader(shuffle=True), epochs=10)
    assert len(history) == 10
    assert history[-1]["loss"] < history[0]["loss"]


def test_metrics_and_validation():
    t = trainer(metrics=["accuracy", "top2", ("error", lambda o, y: (o.argmax(1) != y).float())])
    history = t.fit(loader(shuffle=True), 8, validation=loader(48))
    last = history[-1]
    assert last["val_accuracy"] > 0.97
    assert last["val_error"] == pytest.approx(1 - last["val_accuracy"])
    assert last["samples"] == 96
    result = t.evaluate(loader(48))
    assert result["accuracy"] == pytest.approx(last["val_accuracy"])
    logits = t.model(blobs(48)[0]).detach().numpy()
    assert result["accuracy"] == pytest.approx((logits.argmax(1) == np.arange(48) % 3).mean())
    assert t.dtype is ds.bfloat16


def test_fp32_equals_torchs_loop():
    x, y = blobs()
    model = net()
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    with torch.no_grad():
        for p, q in zip(theirs.parameters(), model.parameters(), strict=True):
            p.copy_(torch.from_numpy(q.detach().numpy().copy()))
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 24)
    for _ in range(4):
        for i in range(0, 96, 16):
            sgd.zero_grad()
            loss = torch.nn.functional.cross_entropy(
                theirs(torch.from_numpy(x.numpy()[i : i + 16])),
                torch.from_numpy(y.numpy()[i : i + 16]),
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
            sgd.step()
            cosine.step()
    ours = SGD(model.parameters(), lr=0.1, momentum=0.9)
    t = MixedPrecisionTrainer(
        model,
        ours,
        fp16_layers=[],
        progress=False,
        max_grad_norm=0.5,
        scheduler=lr_scheduler.CosineAnnealingLR(ours, 24),
    )
    t.fit(loader(batch_size=4), 0)
    MixedPrecisionTrainer(
        model,
        ours,
        fp16_layers=[],
        progress=False,
        max_grad_norm=0.5,
        gradient_accumulation=4,
        scheduler=t.scheduler,
    ).fit(loader(batch_size=4), 4)
    for p, q in zip(theirs.parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-4, atol=1e-6)


class StopAt(Callback):
    def __init__(self, step):
        self.step = step
        self.seen = []

    def on_step_end(self, trainer, log):
        self.seen.append(log["step"])
        if log["step"] == self.step:
            trainer.stop()


class Squares(ds.data.Dataset):
    """A data set written in Python."""

    def __len__(self):
        return 50

    def __getitem__(self, i):
        x = np.float32([i % 3 == 0, i % 3 == 1, i % 3 == 2, i / 50])
        return x, i % 3


@pytest.mark.parametrize("dataset", ["tensors", "python"])
def test_resume_is_exact(tmp_path, dataset):
    data = Squares() if dataset == "python" else TensorDataset(*blobs(50))

    def make(seed=None, **kwargs):
        # An unseeded loader draws its seed, so it comes before the model's.
        batches = DataLoader(data, batch_size=8, shuffle=True, seed=seed)
        return trainer(net(0.3), checkpoint_dir=tmp_path, metrics=["accuracy"], **kwargs), batches

    t, batches = make(5)
    expected = t.fit(batches, 3)
    whole = weights(t)
    stop = StopAt(8)
    first, batches = make(5, callbacks=[stop])
    first.fit(batches, 3)
    assert first.interrupted
    assert stop.seen == list(range(1, first.step_count + 1))
    again, batches = make(resume=True)
    rest = again.fit(batches, 3)
    assert [r["loss"] for r in rest] == [e["loss"] for e in expected[1:]]
    assert [r["accuracy"] for r in rest] == [e["accuracy"] for e in expected[1:]]
    for a, b in zip(weights(again), whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_batches_of_other_forms():
    x, y = blobs(32)
    batches = [(x.numpy()[:16], y.numpy()[:16]), (torch.from_numpy(x.numpy()[16:]), y[16:])]
    t = trainer()
    assert len(t.fit(batches, 3)) == 3

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, a, b, labels=None):
            logits = self.net(a + b)
            if labels is None:
                return logits
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    trainer(Two()).fit([(x, x, y)], 2)
    trainer(Two()).fit([{"a": x, "b": x, "labels": y}], 2)
    history = trainer(
        Two(), forward=lambda model, b: (model(b["a"], b["a"]).square().mean(), None, None)
    ).fit([{"a": x}], 2)
    assert history[1]["loss"] < history[0]["loss"]
    with pytest.raises(ds.ValueError, match="no loss"):
        trainer(Two()).fit([{"a": x, "b": x}], 1)
    with pytest.raises(ds.ValueError, match="input, target"):
        trainer().fit([(x,)], 1)


def test_callbacks_stop_and_keep_the_best(tmp_path):
    best = ModelCheckpoint(tmp_path / "best.safetensors", monitor="val_loss")
    stopping = EarlyStopping("val_loss", patience=2, min_delta=10.0)
    t = trainer(callbacks=[best, stopping])
    history = t.fit(loader(), 10, validation=loader(48))
    assert len(history) == 3
    assert not t.interrupted
    assert best.best == min(h["val_loss"] for h in history)
    from safetensors.numpy import load_file

    saved = load_file(tmp_path / "best.safetensors")
    assert set(saved) == set(t.model.state_dict())


def test_a_steady_loop_plans_nothing_and_forces_nothing():
    optimizer = AdamW((model := net()).parameters())
    plans = []

    class Count(Callback):
        def on_epoch_end(self, trainer, log):
            plans.append(ds.engine_stats()["plans"])

    t = trainer(
        model,
        optimizer,
        metrics=["accuracy"],
        callbacks=[Count()],
        scheduler=lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=30),
    )
    t.fit(loader(), 5)
    assert len(set(plans[1:])) == 1


def test_a_plateau_of_the_validation_loss_lowers_the_rate():
    optimizer = SGD((model := net()).parameters(), lr=0.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    optimizer.param_groups[0]["lr"] = 1e-6
    scheduler_of_accuracy = trainer(
        model, optimizer, scheduler=scheduler, monitor="val_accuracy", metrics=["accuracy"]
    )
    scheduler_of_accuracy.fit(loader(), 4, validation=loader(48))
    assert scheduler.last_epoch == 4
    assert scheduler.best == pytest.approx(
        scheduler_of_accuracy.evaluate(loader(48))["accuracy"], abs=0.05
    )
    with pytest.raises(ds.KeyError, match="val_bleu"):
        trainer(model, optimizer, scheduler=scheduler, monitor="val_bleu").fit(loader(), 1)


def test_a_folder_that_can_not_be_written_leaves_the_run_with_a_typed_error(tmp_path):
    with pytest.raises(ds.IOError, match="/proc/none"):
        trainer(checkpoint_dir="/proc/none/here").fit(loader(), 1)
    t = trainer(checkpoint_dir=tmp_path)
    t.fit(loader(), 1)
    good = open(t.checkpoint_path, "rb").read()
    with open(t.checkpoint_path, "wb") as file:
        file.write(good[: len(good) // 2])
    with pytest.raises(ds.FileFormatError):
        trainer(checkpoint_dir=tmp_path, resume=True).fit(loader(), 2)


def test_progress_is_one_line_per_epoch_when_it_is_no_terminal():
    out = io.StringIO()
    t = MixedPrecisionTrainer(net(), AdamW, progress=out)
    t.fit(loader(), 2)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert t.precision in lines[0]
    assert lines[1].startswith("epoch 1/2: loss ")
    assert "\r" not in out.getvalue()


def test_nan_loss_and_empty_loaders_are_typed_errors(tmp_path):
    x, y = blobs()
    bad = [(x, y)] * 3 + [(x * float("nan"), y)] * 40
    with pytest.raises(ds.train.NonFiniteError, match="since step 4") as error:
        trainer(checkpoint_dir=tmp_path).fit(bad, 1)
    assert isinstance(error.value, FloatingPointError)
    assert isinstance(error.value, ds.Error)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ds.ValueError, match="gave no batch"):
        trainer().fit([], 1)
    with pytest.raises(ds.ValueError, match="fp16_layers"):
        trainer(fp16_layers=["convs"])
    with pytest.raises(ds.KeyError, match="bleu"):
        trainer(metrics=["bleu"])
    with pytest.raises(ZeroDivisionError):
        trainer(loss=lambda o, y: 1 / 0).fit(loader(), 1)


def test_ctrl_c_saves_and_ends(tmp_path):
    class Interrupt(Callback):
        def on_step_end(self, trainer, log):
            if log["step"] == 3:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    t = trainer(checkpoint_dir=tmp_path, callbacks=[Interrupt()])
    t.fit(loader(), 5)
    assert t.interrupted
    assert t.step_count == 5
    assert os.path.exists(t.checkpoint_path)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
