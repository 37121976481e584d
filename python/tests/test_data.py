# SPDX-License-Identifier: Apache-2.0
"""Data sets, samplers, loaders, transforms, downloads."""

import functools
import hashlib
import http.server
import os
import signal
import threading
import time

import deepseek as ds
import numpy as np
import pytest
import torch.utils.data
from deepseek import data, datasets, transforms
from deepseek._download import download
from PIL import Image


class Squares(data.Dataset):
    def __init__(self, size=10, bad=None):
        self.size, self.bad = size, bad

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if index == self.bad:
            raise LookupError(f"sample {index} is bad")
        return np.float32(index) ** 2, index


class Stream(data.IterableDataset):
    def __init__(self, size):
        self.size = size

    def __iter__(self):
        info = data.get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        yield from range(start, self.size, step)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_come_in_order(workers, drop_last):
    loader = data.DataLoader(Squares(), batch_size=4, num_workers=workers, drop_last=drop_last)
    for _ in range(2):
        seen = [(x.tolist(), i.tolist()) for x, i in loader]
        assert len(seen) == len(loader) == (2 if drop_last else 3)
        assert seen[1] == ([16, 25, 36, 49], [4, 5, 6, 7])


@pytest.mark.parametrize("workers", [0, 2])
def test_shuffling_is_a_permutation_and_follows_the_seed(workers):
    def epochs():
        ds.manual_seed(5)
        loader = data.DataLoader(Squares(20), batch_size=3, shuffle=True, num_workers=workers)
        return [[i for _, batch in loader for i in batch.tolist()] for _ in range(2)]

    first, second = epochs()
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert epochs() == [first, second]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_surfaces_at_the_loop_with_its_traceback(workers):
    loader = data.DataLoader(Squares(bad=5), batch_size=2, num_workers=workers)
    seen = []
    with pytest.raises(LookupError, match="sample 5 is bad") as caught:
        for _, index in loader:
            seen += index.tolist()
    assert seen == [0, 1, 2, 3]
    if workers:
        assert "test_data.py" in str(caught.value)


class Dying(Squares):
    def __getitem__(self, index):
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_a_worker_that_dies_is_an_error():
    with pytest.raises(data.WorkerError, match="signal 9"):
        list(data.DataLoader(Dying(), batch_size=2, num_workers=2))


class Slow(Squares):
    def __getitem__(self, index):
        time.sleep(30)


def test_a_worker_that_hangs_times_out():
    with pytest.raises(data.WorkerError, match="within"):
        list(data.DataLoader(Slow(), batch_size=2, num_workers=1, timeout=0.3))


def test_leaving_a_loop_early_leaves_no_processes():
    import multiprocessing

    for _ in data.DataLoader(Squares(100), batch_size=1, num_workers=2):
        break
    deadline = time.time() + 10
    while multiprocessing.active_children() and time.time() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_streams(workers):
    loader = data.DataLoader(Stream(11), batch_size=2, num_workers=workers)
    assert sorted(i for batch in loader for i in batch.tolist()) == list(range(11))
    with pytest.raises(TypeError, match="no length"):
        len(loader)


def test_collating_equals_pytorch():
    samples = [
        {"x": np.ones((2, 3), np.float32) * i, "y": (i, float(i)), "n": "abc"} for i in range(3)
    ]
    mine = data.default_collate(samples)
    theirs = torch.utils.data.default_collate(samples)
    assert mine["n"] == theirs["n"]
    assert mine["x"].tolist() == theirs["x"].tolist()
    assert [t.tolist() for t in mine["y"]] == [t.tolist() for t in theirs["y"]]
    assert mine["y"][0].dtype == ds.int64 and mine["y"][1].dtype == ds.float64
    with pytest.raises(ds.ShapeError, match="do not stack"):
        data.default_collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(ds.DTypeError, match="collate_fn"):
        data.default_collate([object()])


@pytest.mark.parametrize("workers", [0, 2])
def test_tensor_datasets_are_loaded_in_cpp(workers):
    x, y = ds.arange(12).reshape(6, 2), ds.arange(6)
    loader = data.DataLoader(data.TensorDataset(x, y), batch_size=4, num_workers=workers)
    assert loader._threads is not None
    batches = list(loader)
    assert batches[0][0].tolist() == x[:4].tolist() and batches[1][1].tolist() == [4, 5]


@pytest.mark.parametrize("source", [Squares(30), data.TensorDataset(ds.arange(30), ds.arange(30))])
def test_a_loader_resumes_where_it_was(source):
    def make():
        return data.DataLoader(source, batch_size=4, shuffle=True, seed=3)

    loader = make()
    list(loader)
    it = iter(loader)
    next(it)
    next(it)
    state = loader.state_dict()
    rest = [b[1].tolist() for b in it]
    other = make()
    other.load_state_dict(state)
    assert [b[1].tolist() for b in other] == rest
    assert [b[1].tolist() for b in other] == [b[1].tolist() for b in loader]


def test_samplers():
    ds.manual_seed(0)
    assert sorted(data.RandomSampler(range(9))) == list(range(9))
    assert len(list(data.RandomSampler(range(3), replacement=True, num_samples=20))) == 20
    draws = list(data.WeightedRandomSampler([0, 1, 3], 4000))
    assert 0 not in draws and 0.7 < draws.count(2) / 4000 < 0.8
    assert set(data.WeightedRandomSampler([1, 0, 1], 2, replacement=False)) == {0, 2}
    assert list(data.BatchSampler(range(5), 2)) == [[0, 1], [2, 3], [4]]
    a, b = data.random_split(Squares(10), [0.7, 0.3])
    assert sorted(a.indices + b.indices) == list(range(10)) and len(a) == 7


@pytest.mark.parametrize(
    "arguments, error",
    [
        (dict(batch_size=0), ds.ValueError),
        (dict(num_workers=-1), ds.ValueError),
        (dict(shuffle=True, sampler=[1]), ds.ValueError),
        (dict(timeout=-1), ds.ValueError),
        (dict(batch_sampler=[[0]], batch_size=2), ds.ValueError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error, match="DataLoader"):
        data.DataLoader(Squares(), **arguments)


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    sk = load_digits()
    digits = datasets.Digits(train=False)
    np.testing.assert_array_equal(digits[1][0][0].numpy(), sk.images[9])
    assert [digits[i][1] for i in range(20)] == sk.target[4:100:5].tolist()


def test_fashion_mnist_of_debian():
    if not os.path.isdir("/usr/share/datasets/fashion-mnist"):
        pytest.skip("the package dataset-fashion-mnist is not installed")
    train, test = datasets.FashionMNIST(), datasets.FashionMNIST(train=False)
    assert (len(train), len(test)) == (60000, 10000)
    counts = np.bincount([train[i][1] for i in range(2000)], minlength=10)
    assert counts.min() > 150


def test_image_folder(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((8, 9, 3), 50 * i, np.uint8)).save(tmp_path / name / f"{i}.png")
    folder = datasets.ImageFolder(
        tmp_path, transform=transforms.Compose([transforms.Resize((4, 4)), transforms.ToTensor()])
    )
    assert folder.classes == ["cat", "dog"] and len(folder) == 6
    image, label = folder[5]
    assert label == 1 and image.shape == (3, 4, 4)
    assert image.max().item() == pytest.approx(100 / 255)
    batches = list(data.DataLoader(folder, batch_size=4, num_workers=2))
    assert batches[0][0].shape == (4, 3, 4, 4)
    (tmp_path / "cat" / "0.png").write_bytes(b"not an image")
    with pytest.raises(ds.FileFormatError, match="0.png"):
        list(data.DataLoader(folder, batch_size=4, num_workers=2))


def test_transforms_take_arrays_and_pillow_images():
    array = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    t = transforms.ToTensor()
    for image in (array, Image.fromarray(array)):
        np.testing.assert_allclose(t(image).numpy(), array.transpose(2, 0, 1) / 255, rtol=1e-6)
    assert transforms.Normalize(0.5, 0.5)(t(array[..., :1])).shape == (1, 4, 4)
    assert transforms.RandomCrop(2)(array).shape == (3, 2, 2)


class Handler(http.server.BaseHTTPRequestHandler):
    """A server that can misbehave in every way a test asks for."""

    content = bytes(range(256)) * 400
    truncate = 0
    ranges = True
    status = 200
    seen: list = []

    def do_GET(self):
        cls = type(self)
        start = 0
        cls.seen.append(self.headers.get("Range"))
        if cls.status != 200:
            self.send_error(cls.status)
            return
        if cls.ranges and (given := self.headers.get("Range")):
            start = int(given.split("=")[1].rstrip("-"))
        body = cls.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if cls.truncate:
            cls.truncate -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


@pytest.fixture
def server():
    handler = type("Own", (Handler,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, daemon=True)
        thread.start()
        handler.url = f"http://127.0.0.1:{http_server.server_port}/file"
        handler.sha256 = hashlib.sha256(handler.content).hexdigest()
        yield handler
        http_server.shutdown()


def test_a_download_is_checked_and_kept(server, tmp_path):
    path = download(server.url, tmp_path / "f", server.sha256)
    assert path.read_bytes() == server.content
    download(server.url, tmp_path / "f", server.sha256)
    assert len(server.seen) == 1


def test_a_broken_download_resumes(server, tmp_path):
    server.truncate = 1
    path = download(server.url, tmp_path / "f", server.sha256)
    assert path.read_bytes() == server.content
    assert server.seen[0] is None and server.seen[1].startswith("bytes=")


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranges, server.truncate = False, 1
    assert download(server.url, tmp_path / "f", server.sha256).read_bytes() == server.content


@pytest.mark.parametrize(
    "change, error, text",
    [
        (dict(status=404), ds.IOError, "404"),
        (dict(truncate=99), ds.IOError, "connection ended"),
        (dict(content=b"something else"), ds.FileFormatError, "SHA-256"),
    ],
)
def test_what_goes_wrong_never_reaches_the_name(server, tmp_path, change, error, text):
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(error, match=text):
        download(server.url, tmp_path / "f", server.sha256)
    assert not (tmp_path / "f").exists()


def test_no_server(tmp_path):
    with pytest.raises(ds.IOError, match="refused"):
        download("http://127.0.0.1:9/x", tmp_path / "f", attempts=1)


def test_cifar10_is_downloaded_and_unpacked(server, tmp_path):
    import io
    import tarfile

    records = np.zeros((4, 3073), np.uint8)
    records[:, 0] = [1, 2, 3, 4]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        for name in names:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = records.nbytes
            tar.addfile(info, io.BytesIO(records.tobytes()))
    server.content = buffer.getvalue()
    find = functools.partial(
        datasets._cifar10_folder, url=server.url, sha256=hashlib.sha256(server.content).hexdigest()
    )
    folder = find(str(tmp_path))
    assert find(str(tmp_path)) == folder
    train = datasets.CIFAR10(tmp_path)
    assert len(train) == 20 and train[2][1] == 3 and train.classes[3] == "cat"
