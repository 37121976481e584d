# SPDX-License-Identifier: Apache-2.0
"""Models with adapters: made, switched, merged, saved and loaded."""

import copy
import os
from contextlib import contextmanager
from pathlib import Path

from .. import _core, nn
from .._warn import warn
from ..hub import PushToHubMixin
from ..models import auto
from ..models._files import find_file, split_hub_arguments
from ..models._pretrained import LoadWarning, PretrainedMixin, _listed
from ..serialization import load
from . import _targets
from ._config import LoraConfig
from ._targets import LoraLayer

_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
#: Names under which peft writes a bias a second time where all biases are trained.
_COPIES = (".original_module.bias", ".modules_to_save.bias")
_PARTS = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B")


class LoraModel(nn.Module):
    """A model whose layers have adapters, and the copies of modules that adapters train whole."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        #: By adapter and by name, with - for dots; the one in use is in the model too.
        self.modules_to_save = nn.ModuleDict()
        self.original_modules = nn.ModuleDict()

    def forward(self, *inputs, **named):
        return self.model(*inputs, **named)


def _restored(kind, model_kind, config, state: dict, facts: tuple):
    """The PeftModel of a pickle."""
    configs, active, trained, training = facts
    random = _core.get_rng_state()
    (first, peft_config), *rest = configs.items()
    model = kind(model_kind._from_config(config), peft_config, first)
    for name, peft_config in rest:
        model.add_adapter(name, peft_config)
    _core.set_rng_state(random)
    model.set_adapter(active)
    model.load_state_dict(state)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    return model.train(training)


def _key(name: str) -> str:
    return name.replace(".", "-")


def _place(model, name: str):
    """(parent, own name) of a module."""
    above, _, own = name.rpartition(".")
    return (model.get_submodule(above) if above else model), own


class PeftModel(PushToHubMixin, nn.Module):
    """A model with adapters by name, of which one or several are in use. Whatever it lacks, such as
    config and generate(), is the model's own."""

    #: Checkpoints of a training run hold adapters, not the weights below them.
    checkpoint_frozen = False

    def __init__(
        self,
        model,
        peft_config: LoraConfig,
        adapter_name: str = "default",
        autocast_adapter_dtype: bool = True,
    ):
        super().__init__()
        self.base_model = LoraModel(model)
        self.peft_config: dict[str, LoraConfig] = {}
        self.active_adapters: list[str] = []
        self._saved: dict[str, list[str]] = {}  # names of modules that an adapter trains whole
        self._enabled = True
        self.add_adapter(adapter_name, peft_config, autocast_adapter_dtype)
        self.set_adapter(adapter_name, peft_config.inference_mode)

    def forward(self, *inputs, **named):
        return self.base_model.model(*inputs, **named)

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model":
                raise
            return getattr(self.base_model.model, name)

    def get_base_model(self):
        """The model itself, with the adapters in its layers."""
        return self.base_model.model

    @property
    def active_adapter(self) -> str:
        """The first adapter in use."""
        return self.active_adapters[0]

    def _layers(self):
        for name, module in _targets.layers(self.base_model.model):
            if isinstance(module, LoraLayer):
                yield name, module

    def _known(self, name: str) -> None:
        if name not in self.peft_config:
            raise _core.ValueError(
                f"PeftModel: there is no adapter '{name}'; there are {', '.join(self.peft_config)}"
            )

    # --- adapters ---

    def add_adapter(
        self, adapter_name: str, peft_config: LoraConfig, autocast_adapter_dtype: bool = True
    ) -> None:
        """Adds an adapter, which is not in use yet. Its matrices are FP32 where the layers have 16
        bits, unless autocast_adapter_dtype is False."""
        if adapter_name in self.peft_config or not adapter_name or "." in adapter_name:
            taken = adapter_name in self.peft_config
            fact = "is taken" if taken else "is empty or has a dot"
            raise _core.ValueError(f"PeftModel: the adapter name '{adapter_name}' {fact}")
        config = copy.deepcopy(peft_config)
        model = self.base_model.model
        targets = _targets.find_targets(model, config)
        # All are made before any takes its place, so that an error leaves the model as it was.
        made: dict[str, LoraLayer] = {}
        for name in targets:
            module = model.get_submodule(name)
            made[name] = module if isinstance(module, LoraLayer) else LoraLayer(module)
        added = []
        try:
            for name, layer in made.items():
                layer.add_adapter(
                    adapter_name,
                    _targets.by_pattern(config.rank_pattern, name, config.r),
                    _targets.by_pattern(config.alpha_pattern, name, config.lora_alpha),
                    config.lora_dropout,
                    config.use_rslora,
                    config.init_lora_weights,
                    autocast_adapter_dtype,
                )
                added.append(layer)
        except _core.Error:
            for layer in added:
                layer.delete_adapter(adapter_name)
            raise
        for name, layer in made.items():
            parent, own = _place(model, name)
            setattr(parent, own, layer)
        self._copy_saved(adapter_name, config)
        self.peft_config[adapter_name] = config
        for parameter in self._adapter_parameters(adapter_name):
            parameter.requires_grad_(False)

    def _copy_saved(self, adapter_name: str, config: LoraConfig) -> None:
        """Copies of the modules that the adapter trains whole."""
        model, copies = self.base_model.model, nn.ModuleDict()
        names = [
            name
            for name, _ in _targets.layers(model)
            if name and any(name.endswith(end) for end in config.modules_to_save or ())
        ]
        names = [n for n in names if not any(n.startswith(f"{other}.") for other in names)]
        originals = self.base_model.original_modules
        for name in names:
            if _key(name) not in originals:
                originals[_key(name)] = model.get_submodule(name)
            copies[_key(name)] = copy.deepcopy(originals[_key(name)])
        self.base_model.modules_to_save[adapter_name] = copies
        self._saved[adapter_name] = names

    def _use_saved(self) -> None:
        """Puts the modules of the adapter in use, or the model's own, into their places."""
        model = self.base_model.model
        for name in {name for names in self._saved.values() for name in names}:
            module = self.base_model.original_modules[_key(name)]
            for adapter in self.active_adapters if self._enabled else ():
                if name in self._saved[adapter]:
                    module = self.base_model.modules_to_save[adapter][_key(name)]
            parent, own = _place(model, name)
            if parent._modules[own] is not module:
                setattr(parent, own, module)

    def _adapter_parameters(self, adapter_name: str) -> list:
        found = []
        for _, layer in self._layers():
            if layer.has_adapter(adapter_name):
                found += [
                    parameter
                    for part in _PARTS
                    if part in layer._modules
                    for name, parameter in layer._modules[part].named_parameters()
                    if name.split(".")[0] == adapter_name
                ]
        return [*found, *self.base_model.modules_to_save[adapter_name].parameters()]

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Makes an adapter, or the sum of several, the one in use; it is trained from now on unless
        inference_mode."""
        names = [adapter_name] if isinstance(adapter_name, str) else list(adapter_name)
        for name in names:
            self._known(name)
        claimed = [module for name in names for module in self._saved[name]]
        if len(claimed) != len(set(claimed)):
            raise _core.ValueError(
                f"PeftModel: the adapters {', '.join(names)} train the same modules whole, so only "
                "one of them can be in use"
            )
        self.active_adapters = names
        for name in names:
            self.peft_config[name].inference_mode = inference_mode
        for _, layer in self._layers():
            layer.set_active(names)
        self._use_saved()
        self._mark_trained()

    def _mark_trained(self) -> None:
        """Only the adapters in use ask for gradients, and the biases that they train."""
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        for name in self.active_adapters:
            config = self.peft_config[name]
            if config.inference_mode:
                continue
            trained = self._adapter_parameters(name)
            if config.bias == "all":
                trained += [
                    parameter
                    for path, parameter in self.base_model.model.named_parameters()
                    if path.endswith(".bias")
                ]
            elif config.bias == "lora_only":
                trained += [
                    layer.base_layer.bias
                    for _, layer in self._layers()
                    if getattr(layer.base_layer, "bias", None) is not None
                ]
            for parameter in trained:
                parameter.requires_grad_(True)

    def delete_adapter(self, adapter_name: str) -> None:
        """Removes an adapter; one that is in use is replaced by the first other one."""
        self._known(adapter_name)
        if len(self.peft_config) == 1:
            raise _core.ValueError(
                f"PeftModel: '{adapter_name}' is the only adapter; unload() removes all"
            )
        for _, layer in self._layers():
            if layer.has_adapter(adapter_name):
                layer.delete_adapter(adapter_name)
        del self.peft_config[adapter_name]
        rest = [name for name in self.active_adapters if name != adapter_name]
        rest = rest or [next(iter(self.peft_config))]
        self.set_adapter(rest, all(self.peft_config[name].inference_mode for name in rest))
        del self._saved[adapter_name]
        del self.base_model.modules_to_save[adapter_name]

    @contextmanager
    def disable_adapter(self):
        """Within it the model answers as if it had no adapter."""
        before, self._enabled = self._enabled, False
        self._switch()
        try:
            yield
        finally:
            self._enabled = before
            self._switch()

    def _switch(self) -> None:
        for _, layer in self._layers():
            layer.set_enabled(self._enabled)
        self._use_saved()

    # --- merging ---

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False):
        """Adds the adapters in use, or others, to the weights, which is faster to run.
        ValueError with safe_merge when weights would not be finite."""
        names = self.active_adapters if adapter_names is None else adapter_names
        for name in names:
            self._known(name)
        for _, layer in self._layers():
            layer.merge(names, safe_merge)

    def unmerge_adapter(self) -> None:
        """Takes merged adapters out of the weights again, up to rounding."""
        for _, layer in self._layers():
            layer.unmerge()

    def merge_and_unload(self, safe_merge: bool = False, adapter_names: list[str] | None = None):
        """The model with the adapters in its weights and without their layers."""
        self.merge_adapter(adapter_names, safe_merge)
        return self._unloaded()

    def unload(self):
        """The model without its adapters."""
        self.unmerge_adapter()
        self._enabled = False
        self._use_saved()
        return self._unloaded()

    def _unloaded(self):
        model = self.base_model.model
        for name, layer in list(self._layers()):
            parent, own = _place(model, name)
            setattr(parent, own, layer.base_layer)
        return model

    # --- pickles ---

    def __reduce_ex__(self, protocol):
        model = self.get_base_model()
        if any(layer.merged_adapters for _, layer in self._layers()):
            raise _core.StateError(
                "PeftModel: adapters are merged into the weights; call unmerge_adapter() before it "
                "is pickled, or merge_and_unload()"
            )
        if not isinstance(model, PretrainedMixin):
            raise _core.NotImplementedError(
                f"PeftModel: a {type(model).__name__} cannot be made again of a configuration, so "
                "it is not pickled; use save_pretrained() and the state_dict() of the model"
            )
        trained = [name for name, p in self.named_parameters() if p.requires_grad]
        facts = (self.peft_config, self.active_adapters, trained, self.training)
        return _restored, (type(self), type(model), model.config, dict(self.state_dict()), facts)

    # --- numbers ---

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """(numbers that are trained, all numbers)."""
        counts = [(p.numel(), p.requires_grad) for p in self.parameters()]
        return sum(n for n, trained in counts if trained), sum(n for n, _ in counts)

    def print_trainable_parameters(self) -> None:
        """Prints how many numbers are trained."""
        trained, count = self.get_nb_trainable_parameters()
        print(
            f"trainable params: {trained:,d} || all params: {count:,d} || "
            f"trainable%: {100 * trained / count:.4f}"
        )

    # --- files ---

    def save_pretrained(
        self,
        folder: str | os.PathLike,
        selected_adapters: list[str] | None = None,
        save_embedding_layers: bool | str = "auto",
    ) -> None:
        """Writes adapter_config.json and adapter_model.safetensors of the adapters, which peft
        reads: those of "default" into the folder, of others into folders of their names. With
        save_embedding_layers the tables of tokens and the heads tied to them are in it; "auto" does
        so where they are adapted."""
        for name in self.peft_config if selected_adapters is None else selected_adapters:
            self._known(name)
            place = Path(folder) if name == "default" else Path(folder) / name
            config = copy.deepcopy(self.peft_config[name])
            config.inference_mode = True
            config.base_model_name_or_path = (
                config.base_model_name_or_path
                or getattr(self.base_model.model, "name_or_path", None)
                or None
            )
            place.mkdir(parents=True, exist_ok=True)
            tensors = get_peft_model_state_dict(self, name, save_embedding_layers)
            _core._io.save_safetensors(tensors, os.fspath(place / _WEIGHTS[0]), {"format": "pt"})
            config.save_pretrained(place)

    @classmethod
    def from_pretrained(
        cls,
        model,
        name: str | os.PathLike,
        adapter_name: str = "default",
        is_trainable: bool = False,
        config: LoraConfig | None = None,
        autocast_adapter_dtype: bool = True,
        subfolder: str | None = None,
        **hub,
    ) -> "PeftModel":
        """The model with the adapter of a folder or a hub, in eval mode; a LoadWarning lists
        parameters that the files lack or that the adapter does not have. ShapeError when shapes
        differ. Nothing in a file is executed."""
        weights = _read_weights(name, subfolder, **hub)
        if config is None:
            config = LoraConfig.from_pretrained(name, subfolder, **hub)
        config = copy.deepcopy(config)
        config.inference_mode = not is_trainable
        made = cls(model, config, adapter_name, autocast_adapter_dtype)
        try:
            set_peft_model_state_dict(made, weights, adapter_name, str(name))
        except _core.Error:
            made.unload()
            raise
        return made.eval()

    def load_adapter(
        self,
        name: str | os.PathLike,
        adapter_name: str,
        is_trainable: bool = False,
        autocast_adapter_dtype: bool = True,
        subfolder: str | None = None,
        **hub,
    ) -> dict[str, list[str]]:
        """Adds the adapter of a folder or a hub, as from_pretrained() does; set_adapter() brings it
        into use."""
        weights = _read_weights(name, subfolder, **hub)
        config = LoraConfig.from_pretrained(name, subfolder, **hub)
        config.inference_mode = not is_trainable
        self.add_adapter(adapter_name, config, autocast_adapter_dtype)
        try:
            found = set_peft_model_state_dict(self, weights, adapter_name, str(name))
        except _core.Error:
            self.delete_adapter(adapter_name)
            raise
        return found


def _read_weights(name, subfolder: str | None, **hub) -> dict:
    for file in _WEIGHTS:
        path = find_file(name, f"{subfolder}/{file}" if subfolder else file, **hub)
        if path is not None:
            found = load(path)
            if not isinstance(found, dict) or not all(
                isinstance(key, str) and isinstance(value, _core.Tensor)
                for key, value in found.items()
            ):
                raise _core.FileFormatError(f"{path}: a dict of named tensors is expected")
            return found
    raise _core.IOError(f"{name} has no adapter; expected one of {', '.join(_WEIGHTS)}")


def _file_names(model: PeftModel, adapter_name: str, embeddings: bool | str) -> dict[str, str]:
    """The names that an adapter's file has, and those of the same tensors in the model."""
    config = model.peft_config[adapter_name]
    base, names = model.base_model.model, {}
    for path, layer in model._layers():
        own = {name: f"{_PREFIX}{path}.{name}" for name in layer.state_dict()}
        for name, full in own.items():
            part, _, rest = name.partition(".")
            first, _, last = rest.partition(".")
            if part in _PARTS and first == adapter_name:
                names[f"{_PREFIX}{path}.{part}" + (f".{last}" if last else "")] = full
        if config.bias == "lora_only" and "base_layer.bias" in own:
            names[own["base_layer.bias"]] = own["base_layer.bias"]
        # A layer that is shared by tables of tokens and heads is known by its own name only.
        adapted = path.rsplit(".", 1)[-1] in _targets.EMBEDDINGS
        if embeddings is True or (embeddings == "auto" and adapted):
            if _targets.kind_of(layer) == "table" or adapted:
                names[own["base_layer.weight"]] = own["base_layer.weight"]
    if config.bias == "all":
        for name in base.state_dict():
            if name.endswith(".bias"):
                names[_PREFIX + name] = _PREFIX + name
    for path in model._saved[adapter_name]:
        module = model.base_model.modules_to_save[adapter_name][_key(path)]
        for name in module.state_dict():
            full = f"base_model.modules_to_save.{adapter_name}.{_key(path)}.{name}"
            names[f"{_PREFIX}{path}.{name}"] = full
    return names


def get_peft_model_state_dict(
    model: PeftModel, adapter_name: str = "default", save_embedding_layers: bool | str = "auto"
) -> dict:
    """The tensors of an adapter under the names of its file."""
    model._known(adapter_name)
    state = dict(model.state_dict())
    names = _file_names(model, adapter_name, save_embedding_layers)
    return {name: state[own] for name, own in names.items()}


def set_peft_model_state_dict(
    model: PeftModel, tensors: dict, adapter_name: str = "default", source: str = "the tensors"
) -> dict[str, list[str]]:
    """Gives an adapter the tensors of a file; the names that were missing and those that do not
    belong to it. ShapeError lists tensors of another shape, and nothing is changed then."""
    model._known(adapter_name)
    wanted = _file_names(model, adapter_name, False)
    known = {**wanted, **_file_names(model, adapter_name, True)}
    state = model.state_dict()
    misshaped = [
        f"{name} {tuple(tensor.shape)} for {tuple(state[known[name]].shape)}"
        for name, tensor in tensors.items()
        if name in known and tuple(tensor.shape) != tuple(state[known[name]].shape)
    ]
    if misshaped:
        raise _core.ShapeError(
            f"PeftModel: {source}: shapes differ from the adapter's: {_listed(misshaped)}; is it "
            "of another model?"
        )
    found = {known[name]: tensor for name, tensor in tensors.items() if name in known}
    model.load_state_dict(found, strict=False)
    missing = sorted(name for name in wanted if name not in tensors)
    surplus = sorted(name for name in tensors if name not in known and not name.endswith(_COPIES))
    lines = []
    if missing:
        lines.append(f"missing, left as they start: {_listed(missing)}")
    if surplus:
        lines.append(f"not in the adapter, ignored: {_listed(surplus)}")
    if lines:
        warn(f"adapter of {source}: {'; '.join(lines)}", LoadWarning)
    return {"missing_keys": missing, "unexpected_keys": surplus}


def get_peft_model(
    model,
    peft_config: LoraConfig,
    adapter_name: str = "default",
    autocast_adapter_dtype: bool = True,
) -> PeftModel:
    """The model with a new adapter in its layers; everything else is frozen. The model itself is
    changed."""
    if isinstance(model, PeftModel):
        raise _core.ValueError("get_peft_model: the model has adapters; use its add_adapter()")
    return PeftModel(model, peft_config, adapter_name, autocast_adapter_dtype)


class _AutoPeftModel:
    _model: type

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        adapter_name: str = "default",
        is_trainable: bool = False,
        **arguments,
    ) -> PeftModel:
        """The model that adapter_config.json names, with the adapter. Other arguments are those of
        the model's from_pretrained()."""
        hub, _ = split_hub_arguments(arguments)
        config = LoraConfig.from_pretrained(name, **hub)
        if not config.base_model_name_or_path:
            raise _core.ValueError(
                f"{name} does not name the model it is for; use PeftModel.from_pretrained(model, "
                "name)"
            )
        model = cls._model.from_pretrained(config.base_model_name_or_path, **arguments)
        return PeftModel.from_pretrained(model, name, adapter_name, is_trainable, **hub)


def _auto(task: str) -> type:
    model = getattr(auto, f"AutoModelFor{task}")
    doc = f"AutoModelFor{task} with an adapter."
    return type(
        f"AutoPeftModelFor{task}",
        (_AutoPeftModel,),
        {"_model": model, "__doc__": doc, "__module__": __name__},
    )


AutoPeftModelForCausalLM = _auto("CausalLM")
AutoPeftModelForSeq2SeqLM = _auto("Seq2SeqLM")
AutoPeftModelForSequenceClassification = _auto("SequenceClassification")
AutoPeftModelForTokenClassification = _auto("TokenClassification")
AutoPeftModelForQuestionAnswering = _auto("QuestionAnswering")
