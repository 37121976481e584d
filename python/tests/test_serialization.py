# SPDX-License-Identifier: Apache-2.0
"""save() and load(), and files of PyTorch and safetensors."""

import os
import pickle
import subprocess
import sys
from collections import OrderedDict

import deepseek as ds
import numpy as np
import pytest
import safetensors.numpy
import torch


def test_nested_data_comes_back(tmp_path):
    path = tmp_path / "x.ds"
    data = {
        "model": OrderedDict(weight=ds.randn(3, 2), half=ds.ones(2, dtype=ds.bfloat16)),
        "epoch": 3,
        "rate": 0.1,
        "name": "x",
        "none": None,
        "flag": True,
        "list": [1, (2.5, "y"), []],
        7: {"dtype": ds.float16},
        "empty": ds.zeros(0, 4),
    }
    ds.save(data, path)
    back = ds.load(path)
    assert back["model"]["weight"].tolist() == data["model"]["weight"].tolist()
    assert back["model"]["half"].dtype == ds.bfloat16
    assert back["empty"].shape == (0, 4)
    for key in ("epoch", "rate", "name", "none", "flag", "list", 7):
        assert back[key] == data[key]


def test_one_tensor(tmp_path):
    ds.save(ds.arange(4), tmp_path / "t")
    assert ds.load(tmp_path / "t").tolist() == [0, 1, 2, 3]


def test_safetensors_reads_what_is_saved(tmp_path):
    ds.save({"a": {"b": ds.ones(2, 3)}}, tmp_path / "x")
    assert safetensors.numpy.load_file(tmp_path / "x")["a.b"].shape == (2, 3)


def test_a_state_dict_of_pytorch_loads_into_a_module(tmp_path):
    theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.save(theirs.state_dict(), tmp_path / "x.pt")
    mine = ds.nn.Sequential(ds.nn.Conv2d(3, 4, 3), ds.nn.BatchNorm2d(4))
    mine.load_state_dict(ds.load(tmp_path / "x.pt"))
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5)).astype(np.float32)
    theirs.eval()
    mine.eval()
    np.testing.assert_allclose(
        mine(ds.tensor(x)).detach().numpy(),
        theirs(torch.tensor(x)).detach().numpy(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_loaded_parameters_can_be_trained_in_place(tmp_path):
    model = ds.nn.Linear(3, 2)
    ds.save(model.state_dict(), tmp_path / "m")
    before = (tmp_path / "m").read_bytes()
    model.load_state_dict(ds.load(tmp_path / "m"))
    optimizer = ds.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        model(ds.ones(1, 3)).sum().backward()
        optimizer.step()
    model.weight.sum().item()
    assert (tmp_path / "m").read_bytes() == before


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/deepseek_was_executed",)


def test_hostile_pickles_execute_nothing(tmp_path):
    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ds.FileFormatError, match="system"):
        ds.load(tmp_path / "evil.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ds.FileFormatError):
        ds.load(tmp_path / "plain.pkl")
    assert not os.path.exists("/tmp/deepseek_was_executed")


def test_optimizer_states_of_pytorch_load(tmp_path):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save({"optimizer": optimizer.state_dict()}, tmp_path / "o.pt")
    state = ds.load(tmp_path / "o.pt")["optimizer"]["state"]
    np.testing.assert_allclose(
        state[0]["exp_avg"].numpy(), optimizer.state_dict()["state"][0]["exp_avg"].numpy()
    )


@pytest.mark.parametrize(
    "data, error",
    [
        ({"f": print}, ds.DTypeError),
        ({(1, 2): 3}, ds.ValueError),
        ({"a": {1, 2}}, ds.DTypeError),
    ],
)
def test_what_cannot_be_saved_says_so(tmp_path, data, error):
    with pytest.raises(error, match="save"):
        ds.save(data, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_absent_truncated_or_no_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        ds.load(tmp_path / "absent")
    ds.save({"x": ds.ones(100)}, tmp_path / "x")
    whole = (tmp_path / "x").read_bytes()
    for size in (0, 5, 40, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(ds.FileFormatError):
            ds.load(tmp_path / "cut")
    (tmp_path / "text").write_text("hello, this is no checkpoint")
    with pytest.raises(ds.FileFormatError):
        ds.load(tmp_path / "text")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ds.IOError, match="cannot write"):
        ds.save({"x": ds.ones(1)}, tmp_path / "x")


def test_a_folder_that_is_not_there():
    with pytest.raises(ds.IOError, match="cannot write /no/such"):
        ds.save({"x": ds.ones(1)}, "/no/such/folder/x")


def test_a_full_disk_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")
    import subprocess
    import sys

    path = tmp_path / "x"
    ds.save({"x": ds.ones(4)}, path)
    # A limit on the size of files refuses writes as a full disk does.
    program = (
        "import resource, signal, deepseek as ds;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        f"ds.save({{'x': ds.ones(100000)}}, {str(path)!r})"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 1 and "IOError" in run.stderr and "nothing was changed" in run.stderr
    assert ds.load(path)["x"].tolist() == [1, 1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert resource


def test_writing_to_what_a_file_holds_leaves_the_file_alone(tmp_path):
    path = tmp_path / "weights.safetensors"
    ds.save({"a": ds.arange(6, dtype=ds.float32), "b": ds.ones(3)}, path)
    before = path.read_bytes()
    loaded, twin = ds.load(path), ds.load(path)
    with ds.no_grad():
        loaded["a"].mul_(2)
        ds.evaluate([loaded["a"]])
        loaded["a"].add_(1)
        loaded["b"].numpy()[0] = 5
    layer = ds.nn.Linear(3, 2, bias=False)
    layer.load_state_dict({"weight": twin["a"].reshape(2, 3)})
    optimizer = ds.optim.SGD(layer.parameters(), lr=1.0)
    for _ in range(2):
        layer(twin["b"]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    np.testing.assert_array_equal(layer.weight.detach().numpy(), [[-2, -1, 0], [1, 2, 3]])
    np.testing.assert_array_equal(loaded["a"].numpy(), [1, 3, 5, 7, 9, 11])
    np.testing.assert_array_equal(loaded["b"].numpy(), [5, 1, 1])
    np.testing.assert_array_equal(twin["a"].numpy(), range(6))
    np.testing.assert_array_equal(twin["b"].numpy(), [1, 1, 1])
    assert path.read_bytes() == before


def test_loading_a_state_keeps_it_in_the_file(tmp_path):
    program = """
import sys
import deepseek as ds
def own():
    return int(next(l for l in open("/proc/self/status") if l.startswith("RssAnon")).split()[1])
layer = ds.nn.Linear(4096, 4096, bias=False)
before = own()
layer.load_state_dict(ds.load(sys.argv[1]))
ds.evaluate(list(layer.parameters()))
print(own() - before, layer.weight[1, 2].item())
"""
    path = tmp_path / "weights.safetensors"
    weight = ds.arange(4096 * 4096, dtype=ds.float32).reshape(4096, 4096)
    ds.save({"weight": weight}, path)
    out = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(out[0]) < 16 << 10, "KiB that the layer holds beside the file's 64 MiB"
    assert float(out[1]) == 4098
