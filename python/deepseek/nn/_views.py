# SPDX-License-Identifier: Apache-2.0
"""The dictionaries `_parameters`, `_buffers` and `_modules` of a module: live views."""

from collections.abc import MutableMapping

from .. import _core


class Registered(MutableMapping):
    """What a module registered of one kind; writing registers, deleting removes."""

    __slots__ = ("_kind", "_module")

    def __init__(self, module, kind):
        self._module, self._kind = module, kind

    def _entries(self) -> dict:
        return _core.nn._own_entries(self._module, self._kind)

    def __getitem__(self, name):
        return self._entries()[name]

    def __setitem__(self, name, value):
        _core.nn._set_entry(self._module, self._kind, name, value)

    def __delitem__(self, name):
        if name not in self:
            raise KeyError(name)
        delattr(self._module, name)

    def __iter__(self):
        return iter(self._entries())

    def __len__(self):
        return len(self._entries())

    def __contains__(self, name):
        return name in self._entries()

    def items(self):
        return self._entries().items()

    def values(self):
        return self._entries().values()

    def copy(self) -> dict:
        return self._entries()

    def __repr__(self):
        return repr(self._entries())


class Hooks(MutableMapping):
    """The hooks of one kind by their id: `_forward_hooks` and its like."""

    __slots__ = ("_table",)

    def __init__(self, table):
        self._table = {} if table is None else table

    def __getitem__(self, key):
        return self._table[key][0]

    def __setitem__(self, key, hook):
        raise _core.StateError("hooks: add one with register_forward_hook() and its like")

    def __delitem__(self, key):
        del self._table[key]

    def __iter__(self):
        return iter(list(self._table))

    def __len__(self):
        return len(self._table)
