# SPDX-License-Identifier: Apache-2.0
"""What is timed: one class per framework, all with the same few methods.

state() / load(state)   weights as NumPy arrays, by name
check()                 output, loss and gradients without dropout, as NumPy arrays
release()               gives memory that is only kept for reuse back to the system
run(count)              that many steps; ends when the last one's value is there
details()               what only this framework can tell
"""

import contextlib
import os
import time

import numpy as np
from cases import Case, batch

TORCH_OPTIONS = ("channels_last", "bf16", "compile")


def checkpoint_blocks(model, checkpoint) -> int:
    """Lets the outermost blocks that the model repeats be computed again in the backward pass;
    how many there are."""

    def repeated(module):
        own = [m for m in module.modules() if type(m).__module__.startswith("networks")]
        return {kind for kind in map(type, own) if sum(type(m) is kind for m in own) > 1}

    def wrap(block):
        forward = block.forward
        block.forward = lambda *args: checkpoint(forward, *args, use_reentrant=False)

    kinds, found = repeated(model), 0
    stack = list(model.children())
    while stack:
        module = stack.pop()
        if type(module) in kinds:
            wrap(module)
            found += 1
        else:
            stack.extend(module.children())
    return found


class Absent(Exception):
    """The peer cannot run here: not installed, or not for this kind of case."""


class Eager:
    """PyTorch and deepseek: the same code with another module in `lib`."""

    def __init__(self, lib, case: Case):
        self.lib, self.case = lib, case
        self.model = case.network.build(lib)
        self.x, self.y = (lib.tensor(a) for a in batch(case))
        self.forward = self.model
        self.precision = case.precision
        self.training = case.mode == "train"
        self.model.train(self.training)
        self.optimizer = None
        if case.optimizer == "sgd":
            self.optimizer = lib.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        elif case.optimizer == "adamw":
            self.optimizer = lib.optim.AdamW(self.model.parameters(), lr=1e-4)

    def state(self):
        return {k: np.array(v.detach().numpy()) for k, v in self.model.state_dict().items()}

    def load(self, state):
        self.model.load_state_dict({k: self.lib.tensor(v) for k, v in state.items()})

    def autocast(self):
        if self.precision == "f32":
            return contextlib.nullcontext()
        return self.lib.autocast("cpu", dtype=self.lib.bfloat16)

    def loss(self):
        with self.autocast():
            output = self.forward(self.x)
            classes = output.shape[-1]
            loss = self.lib.nn.functional.cross_entropy(
                output.reshape(-1, classes).float(), self.y.reshape(-1)
            )
        return output, loss

    def set_dropout(self, on: bool):
        for module in self.model.modules():
            if type(module).__name__ == "Dropout":
                module.train(on)

    def check(self):
        if not self.training:
            return {"output": np.array(self.infer().float().numpy())}
        self.set_dropout(False)
        self.optimizer.zero_grad()
        output, loss = self.loss()
        loss.backward()
        found = {"output": np.array(output.detach().float().numpy()), "loss": loss.item()}
        for name, parameter in self.model.named_parameters():
            found["gradient of " + name] = np.array(parameter.grad.numpy())
        self.optimizer.zero_grad()
        self.set_dropout(True)
        return found

    def release(self):
        """PyTorch's allocator keeps nothing on the CPU."""

    def infer(self):
        with self.lib.no_grad(), self.autocast():
            return self.forward(self.x)

    def step(self):
        _, loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, count: int):
        for _ in range(count):
            value = self.step() if self.training else self.infer()
            if not self.training:  # an output that nobody reads is never computed by us
                self.wait(value)
        if self.training:
            self.wait(value)

    def wait(self, value):
        value.reshape(-1)[0].item()

    def details(self):
        return {}


class Torch(Eager):
    def __init__(self, case: Case, options: list[str], threads: int):
        if "channels_last" in options and case.network.kind != "image":
            raise Absent("channels_last is for images")
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        super().__init__(torch, case)
        if "bf16" in options:
            self.precision = "bf16"
        if "channels_last" in options:
            self.model.to(memory_format=torch.channels_last)
            self.x = self.x.contiguous(memory_format=torch.channels_last)
        if "checkpoint" in options:
            from torch.utils.checkpoint import checkpoint

            if not checkpoint_blocks(self.model, checkpoint):
                raise Absent("the network repeats no block to checkpoint")
        for option in options:
            name, _, value = option.partition("=")
            if name == "activation_budget":
                import torch._functorch.config as partitioner

                partitioner.activation_memory_budget = float(value)
        if "compile" in options:
            self.forward = torch.compile(self.model)

    def details(self):
        """Floating-point operations of one step: the products of the forward pass by PyTorch's own
        counter, three times when training (its count of grouped backward convolutions is wrong)."""
        from torch.utils.flop_counter import FlopCounterMode

        self.forward = self.model
        self.lib.backends.mkldnn.enabled = False  # the fused LSTM would not be counted
        with FlopCounterMode(display=False) as counter:
            self.infer()
        flops = counter.get_total_flops() * (3 if self.training else 1)
        return {"flops": flops, "version": self.lib.__version__}

    def export(self, path: str):
        self.model.eval()
        self.lib.onnx.export(self.model, (self.x,), path, dynamo=False, input_names=["x"])


class Deepseek(Eager):
    def __init__(self, case: Case, options: list[str], threads: int):
        os.environ["OMP_NUM_THREADS"] = str(threads)
        import deepseek as ds

        for option in options:
            name, _, value = option.partition("=")
            if name != "budget":
                raise Absent(f"deepseek has no option {option}")
            ds.memory.budget(value)
        ds.manual_seed(0)
        super().__init__(ds, case)
        if not self.training:  # as the other engines, which are given a graph
            self.forward = ds.compile(self.model)

    def load(self, state):
        super().load(state)
        # What was NumPy's cannot be updated in place, so the first step would need it twice.
        with self.lib.no_grad():
            for parameter in self.model.parameters():
                parameter.mul_(1.0)
        self.lib.evaluate(list(self.model.parameters()))

    def check(self):
        # Weights that no step updates are kept in the layouts of both passes: not what is budgeted.
        with self.lib.memory.budget(None):
            return super().check()

    def losses(self, count: int):
        """Losses of further steps."""
        return [self.step().item() for _ in range(count)]

    def plan(self):
        """A step's planned peak, its temporaries and the least they could take, in bytes."""
        self.run(2)
        summary = self.lib.memory.summary()
        return {
            "peak": summary.peak,
            "arena": summary.arena,
            "lower_bound": summary.lower_bound,
        }

    def release(self):
        self.lib.synchronize()
        self.lib.empty_cache()

    def details(self):
        ds = self.lib
        ds.clear_plans()
        before = ds.engine_stats()
        self.run(1)
        planned = ds.engine_stats()
        self.run(3)  # numbers that change from step to step have become inputs
        warm = ds.engine_stats()
        start = time.thread_time()
        value = self.step() if self.training else self.infer()
        recorded = time.thread_time() - start
        self.wait(value)
        nodes = planned["planned_nodes"] - before["planned_nodes"]
        return {
            "version": ds.__version__,
            "machine": {**ds.cpu_info(), "threads": ds.num_threads()},
            "nodes": nodes,
            "plan_seconds": planned["plan_seconds"] - before["plan_seconds"],
            "record_seconds_per_node": recorded / max(nodes, 1),
            "steady_plans": ds.engine_stats()["plans"] - warm["plans"],
        }

    def profile(self):
        """The kernels that take longest, and the share of time in reference kernels."""
        with self.lib.debug.profile() as prof:
            self.run(1)
        total = sum(s.seconds for s in prof.steps)
        plain = sum(s.seconds for s in prof.steps if s.kernel.startswith("ref:"))
        return {"table": prof.table(12), "reference_share": plain / max(total, 1e-12)}


class Inference:
    """An engine that only runs an exported graph."""

    precisions = ("f32",)

    def __init__(self, case: Case):
        if case.mode != "infer":
            raise Absent("it only infers")
        if case.precision not in self.precisions:
            raise Absent("its exported graph is FP32")
        self.precision = case.precision
        self.x = batch(case)[0]

    def load(self, state):
        """The weights are in the exported graph."""

    def check(self):
        return {"output": self.infer()}

    def release(self):
        """These engines keep what they need."""

    def run(self, count: int):
        for _ in range(count):
            self.infer()


class OnnxRuntime(Inference):
    def __init__(self, case: Case, options: list[str], threads: int):
        super().__init__(case)
        try:
            import onnxruntime
        except ImportError as error:
            raise Absent(f"not installed ({error})") from None
        self.module, self.threads = onnxruntime, threads

    def open(self, path: str):
        options = self.module.SessionOptions()
        options.intra_op_num_threads = self.threads
        self.session = self.module.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )

    def infer(self):
        return self.session.run(None, {"x": self.x})[0]

    def details(self):
        return {"version": self.module.__version__}


class OpenVino(Inference):
    precisions = ("f32", "bf16")

    def __init__(self, case: Case, options: list[str], threads: int):
        super().__init__(case)
        try:
            import openvino
        except ImportError as error:
            raise Absent(f"not installed ({error})") from None
        self.module, self.threads = openvino, threads

    def open(self, path: str):
        self.compiled = self.module.Core().compile_model(
            path,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": self.threads,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": self.precision,
            },
        )

    def infer(self):
        return self.compiled([self.x])[0]

    def details(self):
        return {"version": self.module.__version__}


ENGINES = {"deepseek": Deepseek, "torch": Torch, "onnxruntime": OnnxRuntime, "openvino": OpenVino}


def make(peer: str, case: Case, threads: int):
    """The engine of a peer's name: `torch`, `torch:channels_last+compile`, `openvino`, ..."""
    name, _, options = peer.partition(":")
    if name == "jax":
        from jax_engine import Jax

        return Jax(case, [], threads)
    if name == "litert":
        from litert_engine import LiteRt

        return LiteRt(case, [], threads)
    chosen = list(TORCH_OPTIONS) if options == "all" else [o for o in options.split("+") if o]
    return ENGINES[name](case, chosen, threads)
