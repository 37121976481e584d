# SPDX-License-Identifier: Apache-2.0
"""Layers that take their input size from the first input, as torch.nn's: `LazyLinear(10)` becomes a
`Linear` when it first runs or loads a state."""

from .. import _core
from .._modes import no_grad
from .parameter import Parameter

_layers = _core.nn


class _UninitializedMeta(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, Parameter) and getattr(instance, "_uninitialized", False)


class UninitializedParameter(metaclass=_UninitializedMeta):
    """A parameter of a layer that has seen no input: empty until then, the same object after."""

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        made = Parameter(_core.empty(0, device=device, dtype=dtype), requires_grad)
        made._uninitialized = True
        return made


class _Lazy:
    """Mixed in before the layer's own class, `_becomes`; `_size` is the attribute that the input
    decides."""

    _becomes: type
    _size: str
    _input_dims: tuple[int, ...] = ()

    def _begin(self, *shapes_of: str) -> None:
        """Empties the parameters and buffers of these names."""
        self._shapes = {}
        for name in shapes_of:
            tensor = getattr(self, name, None)
            if tensor is None:
                continue
            self._shapes[name] = tuple(tensor.shape)
            tensor.data = _core.empty(0, dtype=tensor.dtype, device=tensor.device)
            if isinstance(tensor, Parameter):
                tensor._uninitialized = True
        self._hook = self.register_load_state_dict_pre_hook(_materialize_from)

    def has_uninitialized_params(self) -> bool:
        return any(isinstance(p, UninitializedParameter) for p in self.parameters())

    def _shape_for(self, size: int, name: str) -> tuple:
        raise NotImplementedError

    def _size_of(self, x) -> int:
        raise NotImplementedError

    def _materialize(self, size: int) -> None:
        """Gives the parameters their shapes and first values and becomes the layer itself."""
        with no_grad():
            for name in self._shapes:
                tensor = getattr(self, name)
                shape = self._shape_for(size, name)
                tensor.data = _core.zeros(shape, dtype=tensor.dtype, device=tensor.device)
                if isinstance(tensor, Parameter):
                    tensor._uninitialized = False
        setattr(self, self._size, size)
        self._hook.remove()
        del self._hook, self._shapes
        self.__class__ = self._becomes
        self.reset_parameters()

    def initialize_parameters(self, x) -> None:
        if self._input_dims and x.dim() not in self._input_dims:
            raise _core.ShapeError(
                f"{type(self).__name__}: the input is {x.dtype}{list(x.shape)}; it must have "
                f"{' or '.join(map(str, self._input_dims))} dimensions"
            )
        self._materialize(self._size_of(x))

    def forward(self, x, *args, **kwargs):
        self.initialize_parameters(x)
        return self.forward(x, *args, **kwargs)


def _materialize_from(module, state_dict, prefix, *_) -> None:
    """Before a state is loaded: the size is that of its weight."""
    weight = state_dict.get(prefix + next(iter(module._shapes), ""))
    if weight is not None and weight.numel() > 0:
        module._materialize(module._size_in(weight))


class LazyLinear(_Lazy, _layers.Linear):
    """Linear whose in_features is the last size of the first input."""

    _becomes, _size = _layers.Linear, "in_features"

    def __init__(self, out_features, bias=True, device=None, dtype=None):
        super().__init__(1, out_features, bias, device, dtype)
        self._begin("weight", "bias")

    def _size_of(self, x):
        return x.shape[-1]

    def _size_in(self, weight):
        return weight.shape[1]

    def _shape_for(self, size, name):
        return (self.out_features, size) if name == "weight" else self._shapes[name]


def _lazy_conv(name: str, dims: int):
    base, turned = getattr(_layers, name), "Transpose" in name

    class LazyConv(_Lazy, base):
        __doc__ = f"{name} whose in_channels are the channels of the first input."
        _becomes, _size = base, "in_channels"
        _input_dims = (dims + 1, dims + 2)

        def __init__(self, out_channels, kernel_size, *args, **kwargs):
            # With as many input channels as groups every number of groups is allowed.
            place = 4 if turned else 3
            groups = kwargs.get("groups", args[place] if len(args) > place else 1)
            super().__init__(groups, out_channels, kernel_size, *args, **kwargs)
            self._begin("weight", "bias")

        def _size_of(self, x):
            return x.shape[-dims - 1]

        def _size_in(self, weight):
            return weight.shape[0] if turned else weight.shape[1] * self.groups

        def _shape_for(self, size, name):
            shape = self._shapes[name]
            if name == "bias":
                return shape
            if turned:
                return (size, *shape[1:])
            if size % self.groups:
                raise _core.ValueError(
                    f"{type(self).__name__}: the input's {size} channels are not divisible by "
                    f"groups {self.groups}"
                )
            return (shape[0], size // self.groups, *shape[2:])

    return LazyConv


def _lazy_norm(name: str, input_dims: tuple):
    base = getattr(_layers, name)

    class LazyNorm(_Lazy, base):
        __doc__ = f"{name} whose num_features are the channels of the first input."
        _becomes, _size = base, "num_features"
        _input_dims = input_dims

        # As in PyTorch also where the layer's own defaults are False.
        def __init__(self, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, **kwargs):
            super().__init__(1, eps, momentum, affine, track_running_stats, **kwargs)
            self._begin("weight", "bias", "running_mean", "running_var")

        def _size_of(self, x):
            # An instance norm takes inputs without a batch, whose channels come first.
            alone = "Instance" in name and x.dim() == input_dims[0]
            return x.shape[0 if alone else 1]

        def _size_in(self, weight):
            return weight.shape[0]

        def _shape_for(self, size, name):
            return (size,)

    return LazyNorm


_MADE = {
    **{
        f"Lazy{kind}{dims}d": _lazy_conv(f"{kind}{dims}d", dims)
        for kind in ("Conv", "ConvTranspose")
        for dims in (1, 2, 3)
    },
    "LazyBatchNorm1d": _lazy_norm("BatchNorm1d", (2, 3)),
    "LazyBatchNorm2d": _lazy_norm("BatchNorm2d", (4,)),
    "LazyBatchNorm3d": _lazy_norm("BatchNorm3d", (5,)),
    **{
        f"LazyInstanceNorm{dims}d": _lazy_norm(f"InstanceNorm{dims}d", (dims + 1, dims + 2))
        for dims in (1, 2, 3)
    },
}
for _name, _class in _MADE.items():
    _class.__name__ = _class.__qualname__ = _name
    _class.__module__ = __name__
globals().update(_MADE)

__all__ = ["LazyLinear", "UninitializedParameter", *_MADE]
