# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of Trainer: folders checkpoint-STEP with the model as from_pretrained() reads it,
trainer_state.json, and training_state.safetensors for what an exact continuation needs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .. import _core, serialization
from .upstream_order import ORDERS, names_in_order

_PATTERN = re.compile(r"checkpoint-(\d+)")
STATE, TRAINING = "trainer_state.json", "training_state.safetensors"
_WEIGHTS = "model.safetensors"
#: Where transformers keeps the state of an optimizer.
_OPTIMIZERS = ("optimizer.pt", "optimizer.bin")
#: What of it has the shape of the parameter.
_LIKE_PARAMETERS = {"exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "sum"}


def save_model(model, folder: Path) -> None:
    """The model's own files, or its tensors by name."""
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        _core._io.save_safetensors(dict(model.state_dict()), str(folder / _WEIGHTS), {})


def load_model(model, folder: Path) -> None:
    """Gives the model the weights of a checkpoint."""
    if hasattr(model, "peft_config"):
        from ..peft._model import _read_weights, set_peft_model_state_dict

        for name in model.peft_config:
            place = folder if name == "default" else folder / name
            set_peft_model_state_dict(model, _read_weights(place, None), name, str(place))
    elif hasattr(model, "_load"):
        from ..models._files import read_weights

        model._load(read_weights(folder), str(folder), False)
    else:
        model.load_state_dict(_core._io.load_safetensors(str(folder / _WEIGHTS))[0])


def all_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the earliest first."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), p) for p in folder.iterdir() if (m := _PATTERN.fullmatch(p.name))]
    return [path for _, path in sorted(found) if (path / STATE).is_file()]


def rotate(folder: Path, limit: int | None, best: str | None) -> None:
    """Removes the earliest beyond the limit, never the best nor the last."""
    if limit is None:
        return
    paths = all_in(folder)
    kept = {path.resolve() for path in paths[-1:]}
    if best is not None:
        kept.add(Path(best).resolve())
    others = [path for path in paths if path.resolve() not in kept]
    surplus = len(paths) - max(limit, len(kept))
    for path in others[: max(surplus, 0)]:
        shutil.rmtree(path)


def write(trainer, folder: Path, where: dict) -> None:
    """The checkpoint in one piece: a reader finds all of it, or nothing."""
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    trainer._save(partial)
    if not trainer.args.save_only_model:
        scheduler, scaler = trainer.lr_scheduler, trainer._scaler
        serialization.save(
            {
                "optimizer": trainer.optimizer.state_dict(),
                "scheduler": scheduler.state_dict() if scheduler is not None else {},
                "scaler": scaler.state_dict() if scaler is not None else {},
                "random": _core.get_rng_state(),
                "where": where,
            },
            partial / TRAINING,
        )
    trainer.state.save_to_json(partial / STATE)
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def find(folder: Path, wanted: str | os.PathLike | bool) -> Path:
    """The checkpoint that resume_from_checkpoint means; True is the last one of the folder."""
    if wanted is not True:
        path = Path(wanted)
        if not (path / STATE).is_file():
            raise _core.IOError(f"Trainer: {path} is no checkpoint: it has no {STATE}")
        return path
    paths = all_in(folder)
    if not paths:
        raise _core.IOError(f"Trainer: {folder} has no checkpoint to go on from")
    return paths[-1]


def _is_state(values) -> bool:
    """Whether a file has the form that write() gives it."""
    parts = {"optimizer": dict, "scheduler": dict, "scaler": dict, "where": dict}
    if not isinstance(values, dict) or not isinstance(values.get("random"), _core.Tensor):
        return False
    if not all(isinstance(values.get(name), kind) for name, kind in parts.items()):
        return False
    where, groups = values["where"], values["optimizer"].get("param_groups")
    numbers = (where.get("epoch"), where.get("batch"))
    return (
        all(isinstance(n, int) and n >= 0 for n in numbers)
        and isinstance(where.get("loader"), dict)
        and isinstance(where["loader"].get("batch_size", 1), int)
        and isinstance(where.get("logs"), dict)
        and isinstance(values["optimizer"].get("state"), dict)
        and isinstance(groups, list)
        and all(isinstance(g, dict) and isinstance(g.get("params"), list) for g in groups)
    )


def read(trainer, folder: Path) -> dict:
    """Restores model, optimizer, schedule, scale and random numbers; returns where the run was."""
    path = folder / TRAINING
    if not path.is_file():
        other = next((folder / name for name in _OPTIMIZERS if (folder / name).is_file()), None)
        if other is not None:
            return _read_other(trainer, folder, other)
        raise _core.IOError(
            f"Trainer: {folder} has no {TRAINING}, nor optimizer.pt of transformers: it was "
            "written with save_only_model; load the model with from_pretrained() instead"
        )
    values = serialization.load(path)
    if not _is_state(values):
        raise _core.FileFormatError(f"{path}: is no state of a trainer")
    try:
        trainer.optimizer.load_state_dict(values["optimizer"])
        if values["scheduler"] and trainer.lr_scheduler is not None:
            trainer.lr_scheduler.load_state_dict(values["scheduler"])
        if values["scaler"] and trainer._scaler is not None:
            trainer._scaler.load_state_dict(values["scaler"])
        load_model(trainer.model, folder)
        _core.set_rng_state(values["random"])
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        if isinstance(error, _core.Error):
            raise
        raise _core.FileFormatError(f"{path}: does not fit this run: {error}") from error
    return values["where"]


def _require_fit(optimizer, values: dict, path: Path) -> None:
    """FileFormatError for a state that is of other parameters."""
    groups, state = optimizer.param_groups, values["state"]
    sizes = [[len(g["params"]) for g in found] for found in (groups, values["param_groups"])]
    if sizes[0] != sizes[1]:
        raise _core.FileFormatError(
            f"{path}: does not fit this run: its groups have {sizes[1]} parameters, the model's "
            f"{sizes[0]}"
        )
    for ours, theirs in zip(groups, values["param_groups"], strict=True):
        for parameter, index in zip(ours["params"], theirs["params"], strict=True):
            for name in _LIKE_PARAMETERS & state.get(index, {}).keys():
                if state[index][name].shape != parameter.shape:
                    raise _core.FileFormatError(
                        f"{path}: does not fit this run: {name} of parameter {index} has the shape "
                        f"{tuple(state[index][name].shape)}, the parameter "
                        f"{tuple(parameter.shape)}"
                    )


def _in_our_order(trainer, values: dict, kind: str) -> dict:
    """The state with the parameters of each group in the order that they have in ours."""
    named = dict(trainer.model.named_parameters(remove_duplicate=False))
    place: dict[int, int] = {}
    for name in names_in_order(list(named), kind):
        place.setdefault(id(named[name]), len(place))
    groups = []
    for ours, theirs in zip(trainer.optimizer.param_groups, values["param_groups"], strict=False):
        there = sorted(ours["params"], key=lambda parameter: place[id(parameter)])
        index = {id(p): i for p, i in zip(there, theirs["params"], strict=False)}
        groups.append(
            {**theirs, "params": [index[id(p)] for p in ours["params"] if id(p) in index]}
        )
    return {**values, "param_groups": groups + values["param_groups"][len(groups) :]}


def _read_other(trainer, folder: Path, path: Path) -> dict:
    """The same from a checkpoint of transformers. Its order of rows and its random numbers are
    those of another generator, so a run goes on at the same place of an order of ours."""
    kind = getattr(getattr(trainer.model, "config", None), "model_type", None)
    if kind not in ORDERS or hasattr(trainer.model, "peft_config"):
        raise _core.NotImplementedError(
            f"Trainer: {path} lists what belongs to parameters in the order of transformers, which "
            f"is known for {', '.join(sorted(ORDERS))}; load the model with "
            f"from_pretrained('{folder}') and begin a new run"
        )
    values = serialization.load(path)
    groups = values.get("param_groups") if isinstance(values, dict) else None
    if not isinstance(groups, list) or not isinstance(values.get("state"), dict):
        raise _core.FileFormatError(f"{path}: is no state of an optimizer")
    try:
        # transformers keeps groups without parameters.
        kept = {**values, "param_groups": [group for group in groups if group["params"]]}
        kept = _in_our_order(trainer, kept, kind)
        _require_fit(trainer.optimizer, kept, path)
        trainer.optimizer.load_state_dict(kept)
        for name, part in (("scheduler", trainer.lr_scheduler), ("scaler", trainer._scaler)):
            if part is not None and (folder / f"{name}.pt").is_file():
                part.load_state_dict(serialization.load(folder / f"{name}.pt"))
        load_model(trainer.model, folder)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, _core.Error):
            raise
        raise _core.FileFormatError(f"{folder}: does not fit this run: {error}") from error
    step, accumulation = trainer.state.global_step, trainer._accumulation
    epoch = 0
    if trainer._batches is not None:
        epoch, step = divmod(step, -(-trainer._batches // accumulation))
    where = {"epoch": epoch, "batch": step * accumulation, "logs": {}}
    loader = trainer._train_dataloader
    place = dict(loader.state_dict()) if hasattr(loader, "state_dict") else {}
    where["loader"] = {**place, "epoch": epoch, "position": where["batch"]}
    return where
