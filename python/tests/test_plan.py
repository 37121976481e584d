# SPDX-License-Identifier: Apache-2.0
"""Plans for devices that are not here: against plans and processes that are, and against figures
that others published."""

import json
import subprocess
import sys
from pathlib import Path

import deepseek as ds
import pytest
from deepseek import models, plan

ROOT = Path(__file__).parents[2]
A100 = plan.DEVICES["a100-80gb"]


def command(*args, code=0):
    run = subprocess.run(
        [sys.executable, "-m", "deepseek.cli", "plan", *map(str, args)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == code, run.stderr + run.stdout
    return run.stdout if code == 0 else run.stderr


def total(step):
    return sum(step[step._fields.index("parameters") : step._fields.index("flops")])


# Of the checkpoints that were published; "B" as their papers and cards round.
PUBLISHED = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "gpt3-2.7b": 2.7e9,
    "gpt3-6.7b": 6.7e9,
    "gpt3-13b": 13.0e9,
    "gpt3-175b": 175.0e9,
    "bert-base": 110e6,
    "bert-large": 335_174_458,
    "t5-3b": 2_851_598_336,
    "t5-11b": 11_307_321_344,
    "llama2-7b": 6_738_415_616,
    "llama2-13b": 13_015_864_320,
    "llama2-70b": 68_976_648_192,
    "llama3-8b": 8_030_261_248,
    "llama3-70b": 70_553_706_496,
    "llama3-405b": 405e9,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 141e9,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-72b": 72.7e9,
    "deepseek-v3": 671e9,
    "resnet50": 25_557_032,
    "vit_large_patch16_224": 304_326_632,
    "vit_huge_patch14_clip_224": 632.05e6,
}


def test_every_text_model_is_compared():
    assert set(plan.steps.TEXTS) < set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_those_published(name):
    with plan.steps._on_null():
        case = plan.Case(name, 1, plan.default_size(name))
        layers = plan.layers_of(name)
        model, _ = plan.steps.text(case, layers) if layers else plan.steps.image(case)
        found = sum(p.numel() for p in model.parameters())
    exact = isinstance(PUBLISHED[name], int)
    expected = PUBLISHED[name] if exact else pytest.approx(PUBLISHED[name], rel=0.02)  # rounded
    assert found == expected


@pytest.mark.parametrize("name", ["bert-base", "t5-3b", "llama3-8b", "mixtral-8x7b", "deepseek-v3"])
def test_every_family_is_planned(name):
    """Layers are alike, and recomputation keeps what lies between them alone."""
    case = plan.Case(name, 2, 128, "bf16")
    plain, again = plan.record(case), plan.record(case._replace(recompute=True))
    assert again.activations < plain.activations / 2.5 and again.flops > 1.1 * plain.flops
    assert again.parameters == plain.parameters
    layer, kept = plan.steps.layer_of(case), plan.steps.layer_of(case._replace(recompute=True))
    # Of T5 the encoder's alone: the gradients of the decoder make the end of the backward pass the
    # fullest moment. What a sum of experts gave is FP32.
    between = 2 * 128 * plan.steps.width_of(name) * 2
    assert between <= kept.activations < 2.1 * between + 2**20
    assert layer.parameters * plan.layers_of(name) > 0.7 * plain.parameters


def training_step(device, name):
    """A step of training, optimizer included, on a device."""
    ds.set_default_device(device)
    if name == "gpt":
        config = models.GPT2Config(
            n_embd=64, n_layer=3, n_head=4, n_positions=64, vocab_size=500, n_inner=256
        )
        model = models.GPT2LMHeadModel(config)
        ids = ds.zeros(8, 64, dtype=ds.int64).evaluate()

        def loss():
            return model(input_ids=ids, labels=ids).loss
    else:
        model, loss = plan.steps.image(plan.Case(name, 32, plan.default_size(name)))
    optimizer = ds.optim.AdamW(model.parameters())

    def step():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        return value.item()

    step()
    return ds.memory.summary(step).peak


@pytest.mark.parametrize("name", ["gpt", "resnet20", "lenet"])
def test_the_null_backend_plans_what_the_cpu_needs(name):
    device = ds.get_default_device()
    try:
        foreseen, needed = training_step("null", name), training_step("cpu", name)
    finally:
        ds.set_default_device(device)
    assert foreseen == pytest.approx(needed, rel=0.05)
    if name != "gpt":
        step = plan.record(plan.Case(name, 32, plan.default_size(name)))
        assert total(step) == pytest.approx(needed, rel=0.05)


def test_a_process_grows_by_what_was_foreseen():
    run = subprocess.run(
        [
            sys.executable,
            ROOT / "benchmarks" / "memory" / "validate.py",
            "--cases",
            "lenet:2048x28",
            "--json",
            "/dev/stderr",
        ],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    (row,) = json.loads(run.stderr)
    # The rest is code, plans and Python's own objects.
    assert row["foreseen"] < row["resident"] < 1.05 * row["foreseen"] + (64 << 20)


def test_recording_leaves_the_program_as_it_was():
    ds.manual_seed(3)
    expected = ds.rand(4).numpy()
    ds.manual_seed(3)
    with ds.memory.budget("1MiB"):
        plan.record(plan.Case("lenet", 3, 28))
        assert ds.rand(4).numpy().tolist() == expected.tolist()
        assert ds.get_default_device() != ds.device("null")
        assert ds._core._memory_budget() == 1 << 20


def test_every_layer_adds_the_same_and_recomputation_keeps_its_input():
    case = plan.Case("gpt2", 8, 512)
    plain, few, fewer = (plan.record(case, fewer=n) for n in (0, 1, 3))
    for kind in ("parameters", "gradients", "optimizer", "activations", "flops"):
        a, b, c = getattr(plain, kind), getattr(few, kind), getattr(fewer, kind)
        assert a - b == pytest.approx((b - c) / 2)
    again = case._replace(recompute=True)
    layer = plan.steps.layer_of(again)
    assert layer.activations == pytest.approx(8 * 512 * 768 * 4, rel=0.01)
    # The products of qkv, out and up, and the attention's two; nobody needs what down made.
    extra = (plan.record(again).flops - plain.flops) / 12
    products = 2 * 8 * 512 * 8 * 768**2 + 4 * 8 * 512**2 * 768
    assert extra == pytest.approx(products, rel=0.01)


def test_precisions():
    full, mixed, half = (
        plan.record(plan.Case("gpt3-2.7b", 1, 256, precision)) for precision in plan.PRECISIONS
    )
    count = full.parameter_count
    assert full.parameters == full.gradients == mixed.parameters == 4 * count
    assert full.optimizer == 8 * count
    assert half.parameters == pytest.approx(2 * count, rel=0.001)
    # Two bytes each for weights and gradients, twelve for the master copy and two moments.
    assert half.parameters + half.gradients + half.optimizer == pytest.approx(16 * count, rel=0.001)
    assert half.activations < 0.6 * full.activations


def test_activations_agree_with_the_published_formula():
    # Korthikanti et al.: 34 s b h bytes in a layer beside the attention's scores, of which 3 are
    # masks of dropout, which is off here and which a counter replaces.
    layer = plan.steps.layer_of(plan.Case("gpt3-175b", 1, 2048, "bf16"))
    assert layer.activations == pytest.approx(31 * 2048 * 12288, rel=0.06)


def test_shards():
    case = plan.Case("gpt2", 8, 1024, "bf16")
    names = ["data", "zero1", "zero2", "zero3", "tensor", "pipeline=2,tensor=2,zero1=2"]
    made = plan.plan(case, 8, A100, names, recompute=False, offload=False)
    alone, one, two, three, tensor, mixed = made
    assert one.optimizer == alone.optimizer / 8 and one.gradients == alone.gradients
    assert two.gradients == alone.gradients / 8 and two.parameters == alone.parameters
    assert three.parameters == alone.parameters / 8 and three.workspace > alone.workspace
    assert tensor.parameters == alone.parameters / 8
    # Half of the layers and a whole embedding, shared by two, the optimizer state by four.
    layers = plan.steps.layer_of(case).parameters * 12
    assert mixed.parameters == pytest.approx((alone.parameters - layers / 2) / 2)
    assert mixed.optimizer < alone.optimizer / 4
    assert all(a.fits and 0 < a.communication < a.seconds for a in made)
    (host,) = plan.plan(case, 8, A100, ["data"], recompute=False, offload=True)
    assert host.optimizer == 0 and host.host == alone.optimizer and host.total < alone.total


def test_micro_batches_are_the_largest_that_fit():
    case = plan.Case("gpt2", 64, 1024, "bf16")
    (account,) = plan.plan(case, 1, plan.Device("small", 16 << 30), recompute=False, offload=False)
    assert account.fits and 1 < account.micro_batch < 64 and account.seconds == 0
    (twice,) = plan.plan(
        case,
        1,
        plan.Device("small", 16 << 30),
        recompute=False,
        offload=False,
        micro_batch=2 * account.micro_batch,
    )
    assert not twice.fits and "activations" in twice.reason


def test_gpt3_on_eight_devices():
    text = command(
        "--model", "gpt3-175b", "--devices", "8xA100-80GB", "--batch-size", 8, "--precision",
        "bf16", "--shard", "zero3", "--shard", "tensor", "--micro-batch", 1, "--recompute",
    )  # fmt: skip
    assert "174,604,259,328 parameters" in text
    assert "nothing fits; the least is" in text and "optimizer state 243.9 GiB" in text


def test_the_command_prints_json():
    found = json.loads(
        command("--model", "resnet20", "--devices", "2x1GiB", "--batch-size", 64, "--json")
    )
    assert found["devices"] == 2 and len(found["accounts"]) == 8
    assert all(a["fits"] for a in found["accounts"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "gpt9"], "model 'gpt9' is unknown"),
        (["--devices", "8xB9000"], "devices '8xB9000' are unknown"),
        (["--devices", "0xA100-80GB"], "are unknown"),
        (["--shard", "zero4"], "sharding 'zero4' is unknown"),
        (["--shard", "data=2"], "is for 2 devices, there are 4"),
        (["--shard", "tensor"], "repeats no layer"),
        (["--batch-size", "6", "--shard", "data"], "does not divide among 4"),
        (["--micro-batch", "3", "--shard", "data"], "micro batches of 3"),
        (["--recompute"], "repeats no layer to recompute"),
    ],
)
def test_bad_questions(args, message):
    start = ["--model", "lenet", "--devices", "4xA100-80GB", "--batch-size", "8"]
    assert message in command(*start, *args, code=1)


def test_free_memory_is_a_budget():
    free = ds.memory.available()
    assert 0 < free < 1 << 50
    with ds.memory.budget("auto"):
        assert 0.5 * free < ds._core._memory_budget() < free + (1 << 33)
