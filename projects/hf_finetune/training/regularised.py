"""The library's Trainer with AWP and mixout inside its step. Loop, schedule, clipping and accumulation stay its own."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Trainer

from projects.hf_finetune.training.awp import perturbable, perturbation_scales, perturbed
from projects.hf_finetune.training.mixout import mixed
from projects.hf_finetune.training.sampler import LengthGroupedSampler

Inputs = MutableMapping[str, Any]  # a BatchEncoding


def window_loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Cross-entropy of a micro-batch, divided by the labels of its whole accumulation window (None: by its own).

    The library divides by the window's labels only inside models that know how to; BertForSequenceClassification takes
    the number and ignores it, and since the Trainer then believes the loss to be scaled, gradients of two micro-batches
    would come out twice as large as those of their union. With this the sum over the window is the whole batch's mean,
    whatever the micro-batches' sizes.
    """
    total = F.cross_entropy(outputs["logits"], labels, reduction="sum")
    return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)


class RegularisedTrainer(Trainer):
    """A Trainer whose step takes the gradient at perturbed, mixed weights. γ = 0 and p = 0 leave it as it was.

    Args:
        awp: Relative size γ of the weight perturbation.
        mixout: Probability p of a pretrained weight.
        targets: The pretrained weights (`mixout_targets`).
        options: The Trainer's own arguments; the loss is `window_loss`.
    """

    def __init__(self, *, awp: float, mixout: float, targets: Mapping[str, Tensor], **options: Any) -> None:
        super().__init__(compute_loss_func=window_loss, **options)
        self.awp, self.mixout, self.targets = awp, mixout, targets
        self._window: tuple[list[Inputs], Tensor | int | None] = ([], None)
        self._ascent: tuple[list[Tensor | None], list[float]] | None = None

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        """Batches of like length in the place of random ones; the library offers no public way to say so."""
        data = self.train_dataset if train_dataset is None else train_dataset
        batch = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler([len(row["input_ids"]) for row in data], batch=batch, seed=self.args.seed)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Inputs], num_batches: int, device: torch.device
    ) -> tuple[list[Inputs], Tensor | int | None]:
        """The micro-batches of the next step, kept for AWP, which looks at all of them before the first."""
        self._window = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._ascent = None
        return self._window

    def training_step(self, model: nn.Module, inputs: Inputs, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Forward and backward of one micro-batch at perturbed, mixed weights, which are then put back."""
        if self.awp == 0:
            return self.mixed_step(model, inputs, num_items_in_batch)
        weights = perturbable(model)
        if self._ascent is None:
            gradients = self.window_gradients(model, weights)
            self._ascent = gradients, perturbation_scales(weights, gradients, self.awp)
        with perturbed(weights, *self._ascent):
            return self.mixed_step(model, inputs, num_items_in_batch)

    def mixed_step(self, model: nn.Module, inputs: Inputs, num_items_in_batch: Tensor | int | None) -> Tensor:
        """The library's step with mixed weights."""
        with mixed(model, self.targets, self.mixout):
            return super().training_step(model, inputs, num_items_in_batch)

    def window_gradients(self, model: nn.Module, weights: list[nn.Parameter]) -> list[Tensor | None]:
        """Gradient of the whole window's loss, the direction of AWP's ascent; None where there is none.

        One direction for the window, not one for each micro-batch: the perturbation, like the step, then does not
        depend on how the batch is split, which running out of memory changes. The gradients that the window has
        accumulated so far are not touched (`autograd.grad` writes into no `.grad`), and every random generator is put
        back, so that the step that follows sees the dropout and the mixout of the ascent, and the run draws the same
        numbers as one without AWP.
        """
        model.train()
        batches, items = self._window
        gradients: list[Tensor | None] = [None] * len(weights)
        with torch.random.fork_rng():
            for batch in batches:
                with mixed(model, self.targets, self.mixout):
                    loss = self.compute_loss(model, self._prepare_inputs(dict(batch)), num_items_in_batch=items)
                    parts = torch.autograd.grad(loss, weights, allow_unused=True)
                pairs = zip(gradients, parts, strict=True)
                gradients = [
                    part if held is None else held if part is None else held.add_(part) for held, part in pairs
                ]
        return gradients
