# SPDX-License-Identifier: Apache-2.0
"""Batches as large as the memory budget allows, and batches of samples of one length."""

import deepseek as ds
import numpy as np
import pytest
from deepseek import nn
from deepseek.data import BucketBatchSampler, DataLoader, TensorDataset

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((192, 3, 16, 16)).astype(np.float32)
LABELS = RNG.integers(0, 4, 192)


def images():
    return TensorDataset(ds.tensor(IMAGES), ds.tensor(LABELS))


def network(norm=True):
    ds.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2 if norm else 0.0),
        nn.Linear(16 * 16 * 16, 4),
    )


def trainer_of(model, **more):
    return ds.MixedPrecisionTrainer(
        model, ds.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), progress=False, **more
    )


class Peaks(ds.train.Callback):
    """The planned peak of every step."""

    def __init__(self):
        self.seen = set()

    def on_step_end(self, trainer, log):
        self.seen.add(ds.memory.summary().peak)


def test_the_largest_batch_that_fits_is_taken():
    budget = 8 << 20
    model, peaks = network(), Peaks()
    loader = DataLoader(images(), batch_size="auto")
    trainer = trainer_of(model, memory_budget=budget, callbacks=[peaks])
    trainer.fit(loader, 1)
    size = loader.batch_size
    assert 1 < size < 192 and len(loader) == -(-192 // size)
    # What real steps need, without a budget, is within the accuracy of plans.
    needed = {}
    for count in (size, int(1.06 * size) + 1):
        peaks.seen.clear()
        trainer_of(network(), callbacks=[peaks]).fit(
            DataLoader(images(), batch_size=count, drop_last=True), 1
        )
        needed[count] = max(peaks.seen)
    assert min(needed.values()) < 1.05 * budget < 1.06 * max(needed.values())


def test_an_effective_batch_is_kept_by_accumulation():
    plain = network(norm=False)
    trainer = trainer_of(plain)
    trainer.fit(DataLoader(images(), batch_size=96), 2)
    steps, expected = trainer.step_count, [p.detach().numpy() for p in plain.parameters()]

    model = network(norm=False)
    loader = DataLoader(images(), batch_size="auto", effective_batch_size=96)
    trainer = trainer_of(model, memory_budget="4000KB")
    trainer.fit(loader, 2)
    assert loader.batch_size < 96 and 96 % loader.batch_size == 0
    assert trainer.step_count == steps == 4
    for ours, theirs in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-4, atol=5e-4)


def test_looking_for_a_size_leaves_no_trace():
    model = network().eval()
    trainer = trainer_of(model, memory_budget="8MiB")
    (first, *_) = model.parameters()
    first.grad = ds.ones(*first.shape)
    before = {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    loader = DataLoader(images(), batch_size="auto")
    random = ds.random.get_rng_state().numpy().tolist()
    size = trainer.find_batch_size(loader)
    assert size > 1 and not model.training
    assert ds.random.get_rng_state().numpy().tolist() == random
    assert {n: v.numpy().tobytes() for n, v in model.state_dict().items()} == before
    assert first.grad.numpy().tolist() == ds.ones(*first.shape).numpy().tolist()
    assert all(p.grad is None for p in list(model.parameters())[1:])
    assert not trainer.optimizer.state


class SetBudget(ds.train.Callback):
    """Changes the budget behind some steps; keeps the batch size of each."""

    def __init__(self, loader, budgets):
        self.loader, self.budgets, self.sizes = loader, budgets, []

    def on_step_end(self, trainer, log):
        self.sizes.append(self.loader.batch_size)
        if log["step"] in self.budgets:
            ds.memory.budget(self.budgets[log["step"]])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_batch_follows_the_budget(shuffle, workers):
    def data():
        return DataLoader(
            images(), batch_size=24, shuffle=shuffle, generator=ds.Generator().manual_seed(3)
        )

    def slow_trainer(model, **more):  # rounding does not grow
        optimizer = ds.optim.SGD(model.parameters(), lr=1e-3)
        return ds.MixedPrecisionTrainer(model, optimizer, progress=False, fp16_layers=(), **more)

    plain = network(norm=False)
    slow_trainer(plain).fit(data(), 4)
    expected = [p.detach().numpy() for p in plain.parameters()]

    loader = DataLoader(
        images(),
        batch_size="auto",
        effective_batch_size=24,
        shuffle=shuffle,
        num_workers=workers,
        generator=ds.Generator().manual_seed(3),
    )
    model = network(norm=False)
    change = SetBudget(loader, {5: "1500KB", 20: "1GiB"})
    trainer = slow_trainer(model, callbacks=[change])
    with ds.memory.budget("1GiB"):
        trainer.fit(loader, 4)
    assert trainer.step_count == 4 * 8
    # Steps are told up to two later; the first epochs have 8 steps each.
    small = change.sizes[10]
    assert change.sizes[0] == 24 and small < 24 and 24 % small == 0
    assert change.sizes[19] == small  # more room counts from the next epoch on
    assert change.sizes[-1] == 24
    for ours, theirs in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-4, atol=2e-6)


def test_the_batch_follows_the_memory_that_is_free(monkeypatch):
    free = [1 << 30]
    monkeypatch.setattr(ds._core, "_automatic_memory_budget", lambda: free[0])
    loader = DataLoader(images(), batch_size="auto")
    seen = []

    class Less(ds.train.Callback):
        def on_epoch_end(self, trainer, log):
            seen.append(loader.batch_size)
            free[0] = 4 << 20

    trainer_of(network(), memory_budget="auto", callbacks=[Less()]).fit(loader, 2)
    assert seen[0] == 192 and 1 < seen[1] < 96
    assert ds.memory.summary().peak <= 4 << 20


def test_without_a_budget_the_free_memory_counts():
    loader = DataLoader(images(), batch_size="auto")
    assert trainer_of(network()).find_batch_size(loader) == 192


def test_not_even_one_sample_fits():
    with pytest.raises(ds.OutOfMemoryError, match="one sample needs"):
        trainer_of(network(), memory_budget="100KB").fit(DataLoader(images(), batch_size="auto"))


def test_loaders_without_a_size_say_so():
    loader = DataLoader(images(), batch_size="auto")
    for use in (len, iter):
        with pytest.raises(ds.ValueError, match="found by a trainer"):
            use(loader)
    loader.set_batch_size(64)
    assert len(loader) == 3 and [len(x) for x, _ in loader] == [64, 64, 64]
    with pytest.raises(ds.ValueError, match="effective_batch_size belongs"):
        DataLoader(images(), batch_size=4, effective_batch_size=8)
    with pytest.raises(ds.ValueError, match="effective_batch_size 0"):
        DataLoader(images(), batch_size="auto", effective_batch_size=0)
    with pytest.raises(ds.ValueError, match="no batch_sampler"):
        DataLoader(images(), "auto", batch_sampler=BucketBatchSampler([1] * 192, 2))
    with pytest.raises(ds.ValueError, match="at least 1"):
        DataLoader(images(), batch_size="much")


# --- buckets --------------------------------------------------------------------------------------

LENGTHS = RNG.integers(5, 200, 1000).tolist()


def padded(batches):
    return sum(len(b) * max(LENGTHS[i] for i in b) for b in batches)


def test_buckets_hold_every_sample_once_and_pad_little():
    sampler = BucketBatchSampler(LENGTHS, 16)
    batches = list(sampler)
    assert sorted(i for b in batches for i in b) == list(range(1000))
    assert len(batches) == len(sampler) and max(map(len, batches)) == 16
    order = RNG.permutation(1000)
    plain = [order[i : i + 16] for i in range(0, 1000, 16)]
    assert padded(batches) < 1.1 * sum(LENGTHS) < 1.4 * sum(LENGTHS) < padded(plain)
    # Neighbours in time are not neighbours in length.
    means = [np.mean([LENGTHS[i] for i in b]) for b in batches]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.4


def test_buckets_of_tokens():
    batches = list(BucketBatchSampler([*LENGTHS, 5000], max_tokens=1000, batch_size=20))
    assert [1000] in batches
    for batch in batches:
        if batch != [1000]:
            assert len(batch) * max(LENGTHS[i] for i in batch) <= 1000 and len(batch) <= 20
    assert max(map(len, batches)) == 20


def test_the_order_of_buckets_is_that_of_the_epoch():
    def run(start):
        loader = DataLoader(
            LENGTHS, batch_sampler=BucketBatchSampler(LENGTHS, 16, seed=3), collate_fn=list
        )
        loader.load_state_dict({"seed": 0, "epoch": start, "position": 0})
        return [list(loader) for _ in range(2)]

    first, second = run(0)
    assert first != second and sorted(sum(first, [])) == sorted(sum(second, []))
    assert run(1)[0] == second
    fixed = BucketBatchSampler([3, 1, 2, 1], 2, shuffle=False)
    assert list(fixed) == [[0, 2], [1, 3]]
    for wrong in ({}, {"batch_size": 0}, {"max_tokens": "many"}):
        with pytest.raises(ds.ValueError, match="BucketBatchSampler"):
            BucketBatchSampler([1], **wrong)


def test_copies_of_weights_count_where_no_step_changes_them():
    """Plans of batches that only add up gradients keep weights as the kernels want them."""

    def build():
        ds.manual_seed(0)
        layers = [layer for _ in range(6) for layer in (nn.Conv2d(96, 96, 3, padding=1), nn.ReLU())]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(96 * 64, 4))

    def trainer(**more):
        model = build()
        optimizer = ds.optim.SGD(model.parameters(), lr=0.1)
        return ds.MixedPrecisionTrainer(model, optimizer, progress=False, fp16_layers=[], **more)

    for rows in (2, 8):
        data = TensorDataset(ds.randn(4 * rows, 96, 8, 8), ds.randint(0, 4, (4 * rows,)))
        loader = DataLoader(data, batch_size=rows)
        training = trainer(gradient_accumulation=4)
        needed = ds.memory.summary(lambda t=training, x=loader: t.fit(x, 1)).peak
        automatic = DataLoader(data, batch_size="auto", effective_batch_size=4 * rows)
        assert trainer(memory_budget=int(0.9 * needed)).find_batch_size(automatic) < rows
        assert trainer(memory_budget=int(1.2 * needed)).find_batch_size(automatic) >= rows
