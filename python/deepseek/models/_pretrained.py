# SPDX-License-Identifier: Apache-2.0
"""What all pretrained models share: from_pretrained() and save_pretrained()."""

import os
import re
from pathlib import Path

from .. import _core, nn
from .._modes import no_grad
from .._warn import warn
from ..hub import PushToHubMixin
from ._config import PretrainedConfig
from ._files import read_weights, split_hub_arguments, write_weights
from ._loading import LoadOptions, dtype_of, split_load_options
from ._model_methods import ModelMethods
from ._quantized import plain_weights

#: Constants that old checkpoints hold beside the weights.
_CONSTANTS = re.compile(
    r"(^|\.)(position_ids|token_type_ids|inv_freq|relative_position_index|(attn|attention)\.(bias|masked_bias))$"
)


class LoadWarning(UserWarning):
    """A checkpoint and a model do not have the same parameters."""


def _listed(names, limit: int = 20) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


class PretrainedMixin(ModelMethods, PushToHubMixin):
    """Mixed into every pretrained model's class."""

    config_class: type[PretrainedConfig]
    #: The child that holds everything but the head; its own class has none.
    base_model_prefix = ""
    #: The name of that child in files of other classes of the family, where it differs.
    _file_prefix = ""
    #: Parts of names, those in files and the model's own.
    _file_names: tuple[tuple[str, str], ...] = ()
    #: The ends of names that files may leave out: their start is not random.
    _computed: tuple[str, ...] = ()

    config: PretrainedConfig
    #: Where from_pretrained() found the model; its tokenizer is there too.
    name_or_path: str = ""

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        config: PretrainedConfig | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **changes,
    ):
        """The model of a folder, in eval mode. dtype (also as a name, or "auto": the file's),
        device_map (one device, or "auto"), state_dict (weights to take instead of the file's) and
        subfolder are transformers'; other arguments replace keys of its configuration.

        Parameters the files lack are left at their random start and surplus ones are ignored; a
        LoadWarning lists both. ShapeError lists those of another shape, unless
        ignore_mismatched_sizes. ValueError names an argument that is no key of the
        configuration."""
        hub, changes = split_hub_arguments(changes)
        options, changes = split_load_options(changes)
        if config is None:
            config = cls.config_class.from_pretrained(name, **hub)
        if changes:
            config = config.changed(cls._checked(config, changes))
        model = cls(config)
        model.name_or_path = str(name)
        weights = options.state_dict
        if weights is None:
            weights = plain_weights(read_weights(name, **hub), config, str(name))
        info = model._load(dict(weights), str(name), ignore_mismatched_sizes)
        model._read_more(name, **hub)
        model._placed(options, weights)
        model.eval()
        return (model, info) if output_loading_info else model

    @classmethod
    def _checked(cls, config: PretrainedConfig, changes: dict) -> dict:
        """ValueError names one that is no key of the configuration."""
        for key in changes:
            if not hasattr(config, key) and key not in getattr(config._struct, "fields", ()):
                raise _core.ValueError(
                    f"{cls.__name__}: from_pretrained has no argument '{key}' and "
                    f"{type(config).__name__} no such key"
                )
        return changes

    def _placed(self, options: LoadOptions, weights: dict) -> None:
        """Moves and converts it as asked."""
        saved = getattr(self.config, "dtype", None) or getattr(self.config, "torch_dtype", None)
        dtype = dtype_of(options.dtype, saved, weights)
        if dtype is not None:
            self.to(dtype)
        if options.device is not None:
            self.to(options.device)

    @classmethod
    def _from_config(cls, config: PretrainedConfig, **options):
        """A model of this configuration with random weights; dtype and device_map as of
        from_pretrained()."""
        options, others = split_load_options(options)
        if others:
            raise _core.ValueError(
                f"{cls.__name__}: the argument '{next(iter(others))}' is unknown"
            )
        model = cls(config)
        model._placed(options, {})
        return model

    def _read_more(self, name, **hub) -> None:
        """Reads further files of the model."""

    def _to_files(self, state: dict) -> dict:
        """The state under the names that files have."""
        named = {}
        for name, tensor in state.items():
            for theirs, ours in self._file_names:
                name = name.replace(ours, theirs)
            named[name] = tensor
        return named

    def _write_more(self, folder) -> None:
        """Writes further files of the model."""

    def _own_name(self, name: str, own: dict) -> str:
        """The model's name of a checkpoint's tensor: with or without the prefix of the base, of
        files that have other names, and LayerNorm's old names."""
        for theirs, ours in self._file_names:
            name = name.replace(theirs, ours)
        for old, new in (("gamma", "weight"), ("beta", "bias")):
            if name.endswith(f"LayerNorm.{old}"):
                name = name.removesuffix(old) + new
        prefix = f"{self.base_model_prefix}."
        bare = name.removeprefix(prefix).removeprefix(f"{self._file_prefix}.")
        return next((found for found in (name, prefix + bare, bare) if found in own), name)

    def _load(self, weights: dict, source: str, ignore_mismatched_sizes: bool) -> dict:
        own = dict(self.state_dict())
        found = {self._own_name(name, own): tensor for name, tensor in weights.items()}
        tied = {name: names for names in self._shared(own) for name in names}
        surplus = sorted(name for name in found if name not in own and not _CONSTANTS.search(name))
        missing = sorted(
            name
            for name in own
            if name not in found
            and not name.endswith(self._computed)
            and not any(other in found for other in tied.get(name, ()))
        )
        misshaped = {
            name: (tuple(found[name].shape), tuple(own[name].shape))
            for name in found
            if name in own and tuple(found[name].shape) != tuple(own[name].shape)
        }
        if misshaped and not ignore_mismatched_sizes:
            text = _listed(
                f"{name} {theirs} for {ours}" for name, (theirs, ours) in misshaped.items()
            )
            raise _core.ShapeError(
                f"from_pretrained: {source}: shapes differ from the model's: {text}; pass "
                "ignore_mismatched_sizes=True to leave them at a random start"
            )
        self.load_state_dict(
            {
                name: tensor
                for name, tensor in found.items()
                if name in own and name not in misshaped
            },
            strict=False,
        )
        self._warn(source, missing, surplus, misshaped)
        return {
            "missing_keys": missing,
            "unexpected_keys": surplus,
            "mismatched_keys": sorted(misshaped),
        }

    def _warn(self, source: str, missing, surplus, misshaped) -> None:
        lines = []
        if missing:
            lines.append(f"missing, left at a random start: {_listed(missing)}")
        if misshaped:
            lines.append(f"of another shape, left at a random start: {_listed(misshaped)}")
        if surplus:
            lines.append(f"not in the model, ignored: {_listed(surplus)}")
        if lines:
            warn(f"{type(self).__name__} from {source}: " + "; ".join(lines), LoadWarning)

    def _shared(self, own: dict) -> list[list[str]]:
        """Groups of names of one tensor."""
        groups: dict[int, list[str]] = {}
        for name, parameter in self.named_parameters(remove_duplicate=False):
            if name in own:
                groups.setdefault(id(parameter), []).append(name)
        return [names for names in groups.values() if len(names) > 1]

    def save_pretrained(
        self,
        folder: str | os.PathLike,
        max_shard_size: int | str = "5GB",
        is_main_process: bool = True,
        state_dict: dict | None = None,
        safe_serialization: bool = True,
        push_to_hub: bool = False,
        **hub,
    ) -> None:
        """Writes config.json and model.safetensors, in parts above max_shard_size. transformers
        reads them. state_dict holds other weights of the same names; nothing is written unless
        is_main_process. push_to_hub also sends it to repo_id, by default the folder's name."""
        if not safe_serialization:
            raise _core.NotImplementedError(
                "save_pretrained: safe_serialization=False would write pickles; leave it out"
            )
        if not is_main_process:
            return
        self._save_weights(Path(folder), max_shard_size, state_dict)
        self.config.architectures = [type(self).__name__]
        self.config.dtype = str(next(iter(self.parameters())).dtype).split(".")[-1]
        self.config.save_pretrained(folder)
        self._write_more(Path(folder))
        if push_to_hub:
            self.push_to_hub(hub.pop("repo_id", Path(folder).name), **hub)

    def _save_weights(
        self, folder: Path, max_shard_size: int | str, state_dict: dict | None = None
    ) -> None:
        """Writes model.safetensors, a shared tensor once."""
        state = dict(self.state_dict() if state_dict is None else state_dict)
        for names in self._shared(state):
            for name in names[1:]:
                state.pop(name, None)
        write_weights(self._to_files(state), folder, max_shard_size)

    @property
    def base_model(self):
        """The model below the head."""
        return getattr(self, self.base_model_prefix, self)

    def __reduce_ex__(self, protocol):
        state = dict(self.state_dict())
        if any(".base_layer." in name for name in state):
            raise _core.StateError(
                f"{type(self).__name__}: its layers have adapters; pickle the PeftModel, or what "
                "its merge_and_unload() returns"
            )
        return _restored, (type(self), self.config, state, self.training)


class _Pretrained(type):
    """isinstance() also holds for the library's models, which stand beside classes of C++."""

    def __subclasscheck__(cls, other) -> bool:
        own = cls.__dict__.get("_is_every_model", False)
        return issubclass(other, PretrainedMixin) if own else super().__subclasscheck__(other)

    def __instancecheck__(cls, instance) -> bool:
        return cls.__subclasscheck__(type(instance))


class PreTrainedModel(PretrainedMixin, nn.Module, metaclass=_Pretrained):
    """The base of a model of your own: it sets config_class, makes its layers in __init__(config)
    and has a forward(). Register it, and the Auto classes find it."""

    _is_every_model = True

    def __init__(self, config: PretrainedConfig):
        super().__init__()
        self.config = config

    def _init_weights(self, module) -> None:
        """The start of one module's weights, where it is not the usual one."""

    def post_init(self) -> None:
        """Calls _init_weights() with every module; the last line of __init__()."""
        with no_grad():
            self.apply(self._init_weights)


def _restored(cls, config, state, training):
    random = _core.get_rng_state()
    model = cls(config)
    _core.set_rng_state(random)
    model.load_state_dict(state)
    return model.train(training)
