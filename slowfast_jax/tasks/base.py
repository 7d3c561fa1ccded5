"""What a task is: everything in which one job differs from another.

A new job is one file with a subclass of `Task`, and one line in `tasks.TASKS`. The training loop,
the training step and the evaluation know no task by name.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from data_pipelines.loading.batches import Examples
from slowfast_jax.inference.predict_step import Predictor
from slowfast_jax.tasks.result import TestResult
from slowfast_jax.training.step import Batch, Loss, Metrics

# (logits, endpoints, batch) -> (loss, metrics)
Objective = Callable[[jax.Array, dict[str, jax.Array], Batch], tuple[jax.Array, Metrics]]


class Task:
    """A job of the config `self.config`. Subclasses override what differs.

    Supervised tasks implement `objective`. Those with another forward pass (two views, a momentum
    encoder, a masked clip) override `loss`, and `initial_extra` if they keep arrays between steps.
    """

    def __init__(self, config: ConfigDict):
        self.config = config

    @property
    def headline(self) -> str:
        """Name of the validation metric that ranks checkpoints; larger is better."""
        raise NotImplementedError

    def training_examples(
        self, workdir: str | os.PathLike | None
    ) -> tuple[Examples, list[str]]:
        """The training set, and the class names that belong to it ([] if it has none)."""
        raise NotImplementedError

    def batch_shapes(self, rows: int, crop: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of a batch of `rows` elements with clips of `crop` x `crop` pixels."""
        raise NotImplementedError

    def augment(self, model: nn.Module, key: jax.Array, batch: Batch) -> Batch:
        """The part of the augmentation that runs on the devices, over the whole batch."""
        return batch

    def initial_extra(self, model: nn.Module, variables: Mapping[str, Any]) -> Any:
        """What `loss` keeps between steps (`TrainState.extra`), before the first step."""
        return {}

    def loss(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        extra: Any,
        batch: Batch,
        rngs: Mapping[str, jax.Array],
    ) -> tuple[jax.Array, Metrics, dict[str, Any]]:
        """The forward pass in training mode, and the loss; pure, traced into the training step.

        Args:
          model: a network.
          variables: its "params", with respect to which the loss is differentiated, and
            "batch_stats".
          extra: the state's, of the structure of `initial_extra`.
          batch: arrays of a batch, or of a part of it if gradients are accumulated.
          rngs: {"dropout": key} of this step.

        Returns:
          `(loss, metrics, updates)`: a scalar, named scalars to report, and what changes beside
          the parameters: "batch_stats" and "extra", each left out if it stays as it is.
        """
        return supervised(self.objective)(model, variables, extra, batch, rngs)

    def objective(
        self, logits: jax.Array, endpoints: dict[str, jax.Array], batch: Batch
    ) -> tuple[jax.Array, Metrics]:
        """The loss of the network's outputs, for tasks that do not override `loss`."""
        raise NotImplementedError

    def validate(
        self,
        predictor: Predictor,
        variables: Mapping[str, Any],
        extra: Any,
        workdir: str | os.PathLike | None,
    ) -> dict[str, Any]:
        """Metrics on the validation set while training, the headline metric among them.

        Args:
          predictor: runs the network (`predictor.model`) on the devices of this process.
          variables: averaged if the run keeps an average; on this process's devices.
          extra: the state's.
        """
        raise NotImplementedError

    def test(
        self,
        recognizer: Any,
        workdir: str | os.PathLike | None,
        save_scores: bool = False,
    ) -> TestResult:
        """The test set scored by the config's protocol.

        `workdir` gets the files that belong to the task, with `save_scores` also scores.npz.
        """
        raise NotImplementedError

    def report(self, workdir: str | os.PathLike) -> dict[str, Any]:
        """What the report shows of the last test in `workdir` beside its metrics: keywords of
        `report.html.write_report`."""
        return {}


def forward(
    model: nn.Module,
    variables: Mapping[str, Any],
    batch: Batch,
    rngs: Mapping[str, jax.Array],
) -> tuple[jax.Array, dict[str, jax.Array], dict[str, Any]]:
    """Runs the network in training mode on a batch's "clip", and its "boxes" if it has any.

    Returns:
      `(logits, endpoints, updates)`; `updates` holds the new running statistics ("batch_stats")
      of a network with batch norm.
    """
    (logits, endpoints), updates = model.apply(
        variables, batch["clip"], batch.get("boxes"), train=True, rngs=rngs,
        mutable=["batch_stats"],
    )
    return logits, endpoints, updates


def supervised(objective: Objective) -> Loss:
    """The loss, in the form of `Task.loss`, of an objective of the network's outputs."""

    def loss(model, variables, extra, batch, rngs):
        logits, endpoints, updates = forward(model, variables, batch, rngs)
        value, metrics = objective(logits, endpoints, batch)
        return value, metrics, updates

    return loss
