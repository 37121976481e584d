# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in training leaves a typed error and the previous checkpoint."""

import os
import signal
import subprocess
import sys
import textwrap

import deepseek as ds
import pytest
from deepseek import MixedPrecisionTrainer, nn
from deepseek.data import DataLoader, TensorDataset
from deepseek.optim import SGD

PROGRAM = """
    import sys, time
    import deepseek as ds
    from deepseek import MixedPrecisionTrainer, nn
    from deepseek.data import DataLoader, TensorDataset
    from deepseek.train import Callback

    ds.manual_seed(1)
    x = ds.randn(64, 8)
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8, shuffle=True, seed=3)
    model = nn.Sequential(nn.Linear(8, {width}), nn.Dropout(0.2), nn.Linear({width}, 2))

    class Slow(Callback):
        def on_step_end(self, trainer, log):
            if {pause}:
                print("step", log["step"], flush=True)
                time.sleep({pause})

    trainer = MixedPrecisionTrainer(model, ds.optim.AdamW, fp16_layers=[], progress=False,
                                    callbacks=[Slow()], checkpoint_dir=sys.argv[1], resume=True)
"""


def program(body, width=16, pause=0):
    return textwrap.dedent(PROGRAM).format(width=width, pause=pause) + textwrap.dedent(body)


def run(code, folder, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        **kwargs,
    )


def test_a_label_out_of_range_keeps_the_checkpoint(tmp_path):
    def loader(labels):
        return DataLoader(TensorDataset(ds.ones(8, 4), ds.tensor(labels)), batch_size=4)

    model = nn.Linear(4, 3)
    t = MixedPrecisionTrainer(
        model, SGD, optimizer_args={"lr": 0.1}, progress=False, checkpoint_dir=tmp_path
    )
    t.fit(loader([0, 1, 2, 0, 1, 2, 0, 1]), 1)
    before = open(t.checkpoint_path, "rb").read()
    with pytest.raises(ds.IndexError, match=r"label 3 .*\[0, 3\)"):
        t.fit(loader([0, 1, 2, 3, 0, 1, 2, 0]), 3)
    assert open(t.checkpoint_path, "rb").read() == before
    t.load_checkpoint(t.checkpoint_path)


def test_a_full_disk_keeps_the_checkpoint(tmp_path):
    assert run(program("trainer.fit(loader, 1)"), tmp_path).returncode == 0
    path = tmp_path / "last.safetensors"
    before = path.read_bytes()
    # A limit on the size of files refuses writes as a full disk does.
    limit = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
        trainer.fit(loader, 3)
    """
    full = run(program(limit), tmp_path)
    assert full.returncode == 1
    assert "IOError: cannot write" in full.stderr and "nothing was changed" in full.stderr
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_run_killed_while_it_writes_leaves_a_whole_checkpoint(tmp_path):
    code = program(
        "trainer.fit(loader, 1); print('ready', flush=True)\n"
        "while True: trainer.save_checkpoint(trainer.checkpoint_path)",
        width=40000,
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    # Killed with a part of a file beside the old one.
    while not any(".part" in p.name for p in tmp_path.iterdir()):
        assert child.poll() is None
    child.kill()
    child.wait()
    assert len(ds.load(tmp_path / "last.safetensors")) > 4
    assert run(program("trainer.fit(loader, 2)", width=40000), tmp_path).returncode == 0


def test_ctrl_c_in_mid_epoch_resumes_exactly(tmp_path):
    finish = "trainer.fit(loader, 2)\nds.save(model.state_dict(), sys.argv[1] + '/end')"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = run(program(finish), tmp_path / "a")
    assert whole.returncode == 0, whole.stderr
    code = program("trainer.fit(loader, 2)\nprint('interrupted', trainer.interrupted)", pause=0.2)
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "b")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "step 1\n"
    os.kill(child.pid, signal.SIGINT)
    assert child.communicate(timeout=300)[0].endswith("interrupted True\n")
    assert child.returncode == 0
    rest = run(program(finish), tmp_path / "b")
    assert rest.returncode == 0, rest.stderr
    a, b = (ds.load(tmp_path / name / "end") for name in "ab")
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tolist() == b[name].tolist()
