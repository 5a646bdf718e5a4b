"""What a model is worth on the validation split: its loss, and its ranks through a scorer that the caller brings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.datasets.crops import CropDataset, TextKind, number_persons
from onlooker.datasets.manifest import Manifest
from onlooker.datasets.twins import twins_of
from onlooker.encoders.dual import DualEncoder
from onlooker.errors import TrainingError
from onlooker.runtime.preprocessing import ImageSpec, normalise, resize
from onlooker.runtime.tokenising import TextTokenizer
from onlooker.training.batches import encode_groups, token_groups
from onlooker.training.losses import Loss, matches_of

Scorer = Callable[[NDArray[np.float32], NDArray[np.bool_]], dict[str, float]]
"""Takes similarities (q, g) and which pairs are relevant (q, g); returns figures, with ``r1``, ``r5`` and ``r10``."""


class Validation:
    """The validation split, read once and encoded whenever it is asked.

    Args:
        manifest: Its records.
        spec: Preprocessing of the image tower.
        tokenizer: Of the text tower.
        texts: Which texts are queries.
        batch_size: Pictures (and texts) encoded at a time, and the batch that the loss is taken over.
        twins: Measure too how many twins of the split's own photographs are told apart.
    """

    def __init__(
        self,
        manifest: Manifest,
        spec: ImageSpec,
        tokenizer: TextTokenizer,
        texts: TextKind,
        batch_size: int,
        *,
        twins: bool = False,
    ) -> None:
        self.spec, self.tokenizer, self.batch_size = spec, tokenizer, batch_size
        self._dataset = CropDataset(manifest, spec, texts, every_text=True)
        self._texts = [text for record in manifest.records for text in record.texts(texts)]
        self._text_records = np.array(
            [index for index, record in enumerate(manifest.records) for _ in record.texts(texts)], dtype=np.int64
        )
        self._persons = np.array(number_persons(manifest.records), dtype=np.int64)
        self._pixels: NDArray[np.uint8] | None = None
        self._twins: tuple[NDArray[np.uint8], list[str]] | None = None
        self._wants_twins = twins

    @torch.inference_mode()
    def run(self, model: DualEncoder, loss: Loss, scorer: Scorer) -> dict[str, float]:
        """Encode the split and measure.

        Args:
            model: Left in the mode it was in.
            loss: The training loss, averaged over batches in the manifest's order.
            scorer: Gives the ranks' figures, text to image.

        Returns:
            ``loss`` and what the scorer gives.

        Raises:
            TrainingError: The model's vectors are not finite.
        """
        training = model.training
        model.eval()
        device = model.log_temperature.device
        if self._pixels is None:
            count = len(self._persons)
            self._pixels = np.stack([self._dataset.pixels(record) for record in range(count)])
        images = self._encode_images(model, self._pixels, device)
        texts = self._encode_texts(model, self._texts, device)
        told = self._tell_twins(model, device) if self._wants_twins else {}
        model.train(training)
        similarity = (texts @ images.T).float().cpu().numpy()
        if not np.isfinite(similarity).all():
            raise TrainingError(
                "the model gives vectors that are not finite on the validation split, so its weights are spoilt; lower "
                "the learning rates or set optimiser.clip_norm, and begin again with --restart"
            )
        relevant = self._persons[self._text_records][:, None] == self._persons[None, :]
        mean_loss = self._mean_loss(images, texts, loss, model.temperature)
        return {"loss": mean_loss, **scorer(similarity, relevant), **told}

    def _tell_twins(self, model: DualEncoder, device: torch.device) -> dict[str, float]:
        """Return the share of twins' texts that are nearer to their own picture than to the other twin's."""
        if self._twins is None:
            crops = CropDataset(self._dataset.manifest, self.spec, masks=True)
            samples = [sample for twins in twins_of(crops) for sample in (twins.first, twins.second)]
            pixels = [resize(np.ascontiguousarray(sample.rgb), self.spec) for sample in samples]
            self._twins = np.stack(pixels), [sample.texts[0] for sample in samples]
        images = self._encode_images(model, self._twins[0], device)
        texts = self._encode_texts(model, self._twins[1], device)
        images, texts = (vectors.reshape(-1, 2, vectors.shape[1]) for vectors in (images, texts))
        similarity = texts @ images.transpose(1, 2)
        right = similarity.diagonal(dim1=1, dim2=2) > similarity.flip(2).diagonal(dim1=1, dim2=2)
        return {"twins": float(right.float().mean())}

    def _mean_loss(self, images: Tensor, texts: Tensor, loss: Loss, temperature: Tensor) -> float:
        """Average the loss over batches of the records that have a text, in the manifest's order."""
        persons = torch.from_numpy(self._persons)
        with_text = np.unique(self._text_records)
        losses: list[float] = []
        for start in range(0, len(with_text), self.batch_size):
            rows = with_text[start : start + self.batch_size]
            if len(rows) == 1 and losses:
                # A picture alone has nothing to be told from; its loss of nothing would flatter the mean.
                continue
            columns = np.flatnonzero(np.isin(self._text_records, rows))
            text_persons = persons[torch.from_numpy(self._text_records[columns])]
            matches = matches_of(persons[torch.from_numpy(rows)], text_persons).to(images.device)
            losses.append(float(loss(images[rows], texts[columns], matches, temperature)))
        return float(np.mean(losses))

    def _encode_images(self, model: DualEncoder, pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
        parts = []
        for start in range(0, len(pictures), self.batch_size):
            pixels = torch.from_numpy(normalise(pictures[start : start + self.batch_size], self.spec))
            parts.append(model.encode_images(pixels.to(device)))
        return torch.cat(parts)

    def _encode_texts(self, model: DualEncoder, texts: list[str], device: torch.device) -> Tensor:
        groups = token_groups(self.tokenizer, texts, max(1, len(texts) // self.batch_size))
        return encode_groups(model, groups, device).vectors.float()
