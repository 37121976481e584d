# SPDX-License-Identifier: Apache-2.0
"""Classifier: a model with what it needs to be used on pictures, in one file."""

import json
import os

from . import _core, models, nn
from . import transforms as t
from ._modes import no_grad

_KEY = "deepseek.classifier"


class Classifier:
    """A model of deepseek.models, the names of its classes and how its pictures are prepared."""

    def __init__(
        self,
        model: nn.Module,
        architecture: str,
        classes: list[str],
        image: tuple[int, int, int],
        divisor: float,
        mean: list[float],
        std: list[float],
    ):
        self.model = model
        self.architecture = architecture
        self.classes = list(classes)
        self.image = tuple(image)
        self.divisor, self.mean, self.std = divisor, list(mean), list(std)

    def save(self, path: str | os.PathLike) -> None:
        """Weights as safetensors with the rest in its metadata, in one piece."""
        about = {
            "architecture": self.architecture,
            "classes": self.classes,
            "image": self.image,
            "divisor": self.divisor,
            "mean": self.mean,
            "std": self.std,
        }
        _core._io.save_safetensors(
            dict(self.model.state_dict()), os.fspath(path), {_KEY: json.dumps(about)}
        )

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Classifier":
        """FileFormatError when the file is no classifier's."""
        tensors, metadata = _core._io.load_safetensors(os.fspath(path))
        try:
            about = json.loads(metadata[_KEY])
            model = models.create(about["architecture"], len(about["classes"]), about["image"][0])
            model.load_state_dict(tensors)
            return cls(model.eval(), **about)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise _core.FileFormatError(
                f"{path}: not a file of `deepseek train`: {error}"
            ) from error

    def prepare(self, image) -> _core.Tensor:
        """A picture, uint8 [C, H, W] in 0 to 255, as the model takes it: [1, C, h, w]."""
        height, width = self.image[1:]
        if 0 in (height, width):
            steps = [t.Resize(256), t.CenterCrop(224)]
        else:
            steps = [t.Resize((height, width))]
        return t.Compose([*steps, t.ToTensor(), t.Normalize(self.mean, self.std)])(image)[None]

    def predict(self, image, invert: bool = False) -> list[tuple[str, float]]:
        """Classes and their probabilities, the most likely first."""
        if invert:
            image = 255 - image
        self.model.eval()
        with no_grad():
            probabilities = nn.functional.softmax(self.model(self.prepare(image)), 1)[0].tolist()
        return sorted(zip(self.classes, probabilities, strict=True), key=lambda pair: -pair[1])
