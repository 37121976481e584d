# SPDX-License-Identifier: Apache-2.0
"""Batches of sequences of different lengths, as torch.nn.utils.rnn."""

from typing import NamedTuple

import numpy as np

from ... import _core

Tensor = _core.Tensor


class PackedSequence(NamedTuple):
    """The steps of all sequences, longest first: step 0 of each, then step 1, ..."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


def _places(sizes: np.ndarray) -> np.ndarray:
    """Position in the packed data of [step, sequence]; the number of rows where there is none."""
    rows = int(sizes.sum())
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    columns = np.arange(int(sizes[0]))[None, :]
    return np.where(columns < sizes[:, None], starts[:, None] + columns, rows)


def _lengths_of(sizes: np.ndarray) -> np.ndarray:
    """Lengths of the sequences, longest first."""
    return (sizes[:, None] > np.arange(int(sizes[0]))[None, :]).sum(0)


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """input [T, N, ...] ([N, T, ...] with batch_first); lengths: a list or an integer tensor."""
    lengths = np.asarray(lengths.tolist() if isinstance(lengths, Tensor) else lengths, np.int64)
    if batch_first:
        input = input.transpose(0, 1)
    steps, batch = input.shape[0], input.shape[1]
    if len(lengths) != batch:
        raise _core.ValueError(
            f"pack_padded_sequence: {len(lengths)} lengths for {batch} sequences"
        )
    if lengths.min(initial=1) <= 0 or lengths.max(initial=0) > steps:
        raise _core.ValueError(
            f"pack_padded_sequence: lengths must be between 1 and {steps}, got {lengths.tolist()}"
        )
    order = None
    if enforce_sorted:
        if np.any(np.diff(lengths) > 0):
            raise _core.StateError(
                "pack_padded_sequence: lengths must be sorted in decreasing order; pass "
                "enforce_sorted=False"
            )
    else:
        order = np.argsort(-lengths, kind="stable")
        lengths = lengths[order]
        input = input.index_select(1, _core.tensor(order))
    sizes = (lengths[None, :] > np.arange(int(lengths[0]))[:, None]).sum(1)
    step, column = np.nonzero(np.arange(batch)[None, :] < sizes[:, None])
    flat = input.reshape(steps * batch, *input.shape[2:])
    data = flat.index_select(0, _core.tensor(step * batch + column))
    indices = [None, None]
    if order is not None:
        indices = [_core.tensor(order), _core.tensor(np.argsort(order))]
    return PackedSequence(data, _core.tensor(sizes), *indices)


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """The padded batch and the lengths, in the order before packing."""
    sizes = sequence.batch_sizes.numpy()
    places = _places(sizes)
    rest = sequence.data.shape[1:]
    row = _core.full((1, *rest), padding_value, dtype=sequence.data.dtype)
    padded = _core.cat([sequence.data, row]).index_select(0, _core.tensor(places.reshape(-1)))
    padded = padded.reshape(*places.shape, *rest)
    lengths = _core.tensor(_lengths_of(sizes))
    if total_length is not None:
        if total_length < len(sizes):
            raise _core.ValueError(
                f"pad_packed_sequence: total_length {total_length} is below the longest sequence, "
                f"{len(sizes)}"
            )
        extra = _core.full(
            (total_length - len(sizes), *padded.shape[1:]), padding_value, dtype=padded.dtype
        )
        padded = _core.cat([padded, extra])
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        lengths = lengths.index_select(0, sequence.unsorted_indices)
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Stacks sequences [L, ...] of different lengths, filled up at one side."""
    longest = max(sequence.shape[0] for sequence in sequences)
    rows = []
    for sequence in sequences:
        missing = longest - sequence.shape[0]
        sides = (0, missing) if padding_side == "right" else (missing, 0)
        pad = [0, 0] * (sequence.dim() - 1) + list(sides)
        rows.append(_core._functional.pad(sequence, pad, "constant", padding_value))
    return _core.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The sequences that pad_sequence stacked."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [row[: int(length)] for row, length in zip(padded_sequences, lengths, strict=False)]


def pack_sequence(sequences, enforce_sorted=True):
    """pack_padded_sequence of pad_sequence."""
    lengths = [sequence.shape[0] for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The sequences that pack_sequence packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths.tolist(), batch_first=True)


def run_packed(layer, packed, hx):
    """A recurrent layer over packed sequences: output packed, states in the user's order."""

    def ordered(state, index):
        if state is None or index is None:
            return state
        if isinstance(state, tuple | list):
            return tuple(part.index_select(1, index) for part in state)
        return state.index_select(1, index)

    sizes = packed.batch_sizes.tolist()
    out, state = layer._forward_packed(packed.data, sizes, ordered(hx, packed.sorted_indices))
    return packed._replace(data=out), ordered(state, packed.unsorted_indices)
