# SPDX-License-Identifier: Apache-2.0
"""What a model's forward() returns."""

from collections import OrderedDict


class ModelOutput(OrderedDict):
    """Named results: output.loss, output["logits"], output[0]. A result that was not asked for is
    None as an attribute and no item."""

    def __init__(self, values: dict | None = None, **named):
        given = {**(values or {}), **named}
        super().__init__((name, value) for name, value in given.items() if value is not None)
        self.__dict__.update({name: None for name, value in given.items() if value is None})

    def __getattr__(self, name: str):
        if name in self:
            return super().__getitem__(name)
        raise AttributeError(f"the output has no '{name}'; it has {', '.join(self)}")

    def __getitem__(self, key):
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple:
        """All results that are there, in order."""
        return tuple(super(ModelOutput, self).__getitem__(name) for name in self)
