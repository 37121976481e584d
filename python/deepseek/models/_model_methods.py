# SPDX-License-Identifier: Apache-2.0
"""What a pretrained model tells of itself, and how its vocabulary is changed."""

from .. import _core, nn
from .._modes import no_grad

#: Names of the tables that inputs are looked up in, and of what predicts words.
_TABLES = ("word_embeddings", "embed_tokens", "wte", "shared", "token_embedding")
_HEADS = ("lm_head.decoder", "cls.predictions.decoder", "predictions.decoder", "vocab_projector")


class ModelMethods:
    """Mixed into every pretrained model's class."""

    #: Arguments of forward() that the configuration decides where they are not given.
    _asked = ("output_hidden_states", "output_attentions")

    def __call__(self, *inputs, **named):
        config = self.config
        for key in self._asked:
            if getattr(config, key, False):
                named.setdefault(key, True)
        if not getattr(config, "return_dict", True):
            named.setdefault("return_dict", False)
        return super().__call__(*inputs, **named)

    @property
    def dtype(self):
        """The dtype of the first floating parameter."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def device(self):
        """The device of the first parameter."""
        return next(iter(self.parameters())).device

    @property
    def num_labels(self) -> int:
        """Classes of the model's configuration."""
        return self.config.num_labels

    @property
    def main_input_name(self) -> str:
        """The input that all others go with."""
        images = getattr(self.config, "num_channels", None) or getattr(
            self.config, "vision_config", None
        )
        has_table = self._found(_TABLES) is not None
        return "pixel_values" if images and not has_table else "input_ids"

    def can_generate(self) -> bool:
        """There is generate()."""
        return hasattr(self, "generate")

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Numbers in all parameters, shared ones once."""
        left_out = set()
        if exclude_embeddings:
            left_out = {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)}
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if id(parameter) not in left_out and (parameter.requires_grad or not only_trainable)
        )

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of parameters, and of buffers."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    # --- gradient checkpointing -------------------------------------------------------------------
    is_gradient_checkpointing = False

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict | None = None):
        """Tells ds.Trainer to compute again what does not fit into free memory, as its argument
        gradient_checkpointing does. In a loop of your own, `ds.memory.budget` decides."""
        self.is_gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Takes it back."""
        self.is_gradient_checkpointing = False

    def enable_input_require_grads(self) -> None:
        """Embeddings require gradients, so that layers above frozen ones get some."""
        self.get_input_embeddings().register_forward_hook(
            lambda module, given, output: output.requires_grad_(True)
        )

    # --- vocabulary -------------------------------------------------------------------------------
    def _found(self, names: tuple[str, ...]):
        """(module that holds it, its name there) of the first submodule that is called so."""
        for name, _ in self.named_modules():
            if any(name == known or name.endswith(f".{known}") for known in names):
                parent, _, child = name.rpartition(".")
                return (self.get_submodule(parent) if parent else self), child
        return None

    def _word_head(self):
        found = self._found(_HEADS)
        if found is None and isinstance(getattr(self, "lm_head", None), nn.Linear):
            return self, "lm_head"
        return found

    def get_input_embeddings(self):
        """The table that tokens are looked up in."""
        found = self._found(_TABLES)
        if found is None:
            raise _core.NotImplementedError(f"{type(self).__name__}: there is no table of tokens")
        return getattr(*found)

    def set_input_embeddings(self, value) -> None:
        """Takes the weight of another table; what was tied to the old one stays tied."""
        table, head = self.get_input_embeddings(), self.get_output_embeddings()
        tied = head is not None and head.weight is table.weight
        table.weight = value.weight
        if tied:
            head.weight = value.weight

    def get_output_embeddings(self):
        """The layer that predicts words; None where there is none."""
        found = self._word_head()
        return None if found is None else getattr(*found)

    def set_output_embeddings(self, value) -> None:
        """Takes the weight, and the bias, of another layer."""
        head = self.get_output_embeddings()
        if head is None:
            raise _core.NotImplementedError(f"{type(self).__name__}: no layer predicts words")
        head.weight = value.weight
        if getattr(head, "bias", None) is not None and value.bias is not None:
            self._set_bias(value.bias)

    def tie_weights(self) -> None:
        """Makes the layer that predicts words the table, where the configuration says so."""
        head = self.get_output_embeddings()
        if head is not None and self.config.tie_word_embeddings:
            head.weight = self.get_input_embeddings().weight

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ):
        """The table of tokens with another number of rows, and the layer that predicts words with
        it. New rows are the mean of the old ones, or drawn at random without mean_resizing."""
        table, head = self.get_input_embeddings(), self.get_output_embeddings()
        count = table.weight.shape[0] if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of:
            count = -(-count // pad_to_multiple_of) * pad_to_multiple_of
        if not isinstance(count, int) or count < 1:
            raise _core.ValueError(
                f"resize_token_embeddings: {new_num_tokens!r} tokens; give a positive integer"
            )
        if count == table.weight.shape[0]:
            return table
        deviation = None if mean_resizing else getattr(self.config, "initializer_range", 0.02)
        old, tied = table.weight, head is not None and head.weight is table.weight
        table.weight, table.num_embeddings = _resized(old, count, deviation), count
        if head is not None:
            head.out_features = count
            head.weight = table.weight if tied else _resized(head.weight, count, deviation)
            if getattr(head, "bias", None) is not None:
                self._set_bias(_resized(head.bias, count, deviation))
        self.config.vocab_size = count
        return table

    def _set_bias(self, bias) -> None:
        """Of the layer that predicts words, and of the module above that shows it as its own."""
        parent, child = self._word_head()
        getattr(parent, child).bias = bias
        if "bias" in dict(parent.named_parameters(recurse=False)):
            parent.bias = bias


def _resized(old, count: int, deviation: float | None):
    """A parameter with `count` rows: the old ones, then their mean or numbers at random."""
    with no_grad():
        kept = old[: min(count, old.shape[0])]
        more = count - kept.shape[0]
        if more > 0:
            shape = (more, *old.shape[1:])
            if deviation is None:
                new = old.float().mean(0, keepdim=True).to(old.dtype).expand(*shape)
            else:
                new = (_core.randn(*shape) * deviation).to(old.dtype).to(old.device)
            kept = _core.cat([kept, new], 0)
        made = nn.Parameter(kept.clone())
        made.requires_grad_(old.requires_grad)
        return made
