# SPDX-License-Identifier: Apache-2.0
"""Event files opened by TensorBoard's own reader."""

import deepseek as ds
import numpy as np
import pytest
from deepseek import MixedPrecisionTrainer, nn
from deepseek.optim import AdamW
from deepseek.train import TensorBoard
from deepseek.utils.tensorboard import SummaryWriter

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from tensorboard.util import tensor_util  # noqa: E402


def opened(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_scalars_text_and_histograms(tmp_path):
    values = np.random.default_rng(0).standard_normal(1000)
    with SummaryWriter(tmp_path) as writer:
        for step in range(5):
            writer.add_scalar("loss", 1 / (step + 1), step, walltime=100 + step)
        writer.add_scalars("rate", {"a": 1, "b": ds.tensor(2.0)}, 7)
        writer.add_text("note", "**bold** ünïcode", 3)
        writer.add_histogram("weights", ds.tensor(values), 4)
        writer.add_histogram("one", [2.0, 2.0], 4)
    events = opened(tmp_path)
    loss = events.Scalars("loss")
    assert [e.step for e in loss] == list(range(5))
    assert [e.wall_time for e in loss] == [100, 101, 102, 103, 104]
    assert [e.value for e in loss] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert events.Scalars("rate/b")[0].value == 2
    text = events.Tensors("note/text_summary")[0]
    assert tensor_util.make_ndarray(text.tensor_proto)[0].decode() == "**bold** ünïcode"
    kept = events.Histograms("weights")[0].histogram_value
    assert kept.num == 1000
    assert kept.min == pytest.approx(values.min())
    assert kept.sum_squares == pytest.approx((values**2).sum())
    expected, _ = np.histogram(values, 64)
    np.testing.assert_allclose(kept.bucket, expected, atol=1)
    assert sum(events.Histograms("one")[0].histogram_value.bucket) == 2


def test_the_trainers_callback(tmp_path):
    x, y = ds.randn(32, 4), ds.arange(32) % 3
    board = TensorBoard(tmp_path)
    trainer = MixedPrecisionTrainer(
        nn.Linear(4, 3), AdamW, callbacks=[board], metrics=["accuracy"], progress=False
    )
    history = trainer.fit([(x, y)] * 4, 2, validation=[(x, y)])
    events = opened(tmp_path)
    assert [e.step for e in events.Scalars("step/loss")] == list(range(1, 9))
    assert [e.value for e in events.Scalars("epoch/val_accuracy")] == pytest.approx(
        [h["val_accuracy"] for h in history]
    )
    assert events.Scalars("step/lr")[0].value == pytest.approx(1e-3)


def test_an_unwritable_folder_is_a_typed_error():
    with pytest.raises(ds.IOError):
        SummaryWriter("/proc/none/here")
