"""The interface of a task: its data, loss, validation, test and report.

To add a task, write a subclass of `Task` in a file of its own and list it in `tasks.TASKS`. The
training loop, the training step and the evaluation only use this interface.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from data_pipelines.loading.batches import Examples
from slowfast_jax.inference.features import Options
from slowfast_jax.inference.predict_step import Predictor
from slowfast_jax.ops.norm_statistics import SPLIT_MEANS
from slowfast_jax.tasks.result import Extracted, TestResult
from slowfast_jax.training.step import Batch, Loss, Metrics

# (logits, endpoints, batch) -> (loss, metrics)
Objective = Callable[[jax.Array, dict[str, jax.Array], Batch], tuple[jax.Array, Metrics]]


class Task:
    """Base class of all tasks.

    Supervised tasks implement `objective`. Tasks with another forward pass (two views, a momentum
    encoder, masked clips) override `loss`, and `initial_extra` if they keep arrays between steps.

    Attributes:
      config: the complete config.
      class_weights: config.train.class_weights as one number per class, once a task's
        `training_examples` has set it; None: all classes weigh the same.
    """

    def __init__(self, config: ConfigDict):
        self.config = config
        self.class_weights: tuple[float, ...] | None = None

    @property
    def loss_options(self) -> dict[str, Any]:
        """Keywords of the function of `LOSSES` that config.train.loss names."""
        options: dict[str, Any] = {}
        if self.class_weights is not None:
            options["weights"] = self.class_weights
        if self.config.train.focal:
            options["focal"] = tuple(self.config.train.focal)
        return options

    @property
    def headline(self) -> str:
        """Name of the validation metric that ranks checkpoints; larger is better."""
        raise self._missing("headline")

    def find(self, subset: str, workdir: str | os.PathLike | None) -> Any:
        """What a subset of the data consists of: its list, its tables, the names of its classes.

        All subsets that a run will read are found before anything else happens, so that a mistake
        in any of them is reported at once. `training_examples`, `validate` and `test` get the
        result. A task whose data needs no files need not define this.

        Args:
          subset: "train", "val" or "test".
          workdir: the run's folder, where data may be generated.

        Raises:
          ConfigError, OSError, ValueError: the data is missing, invalid or does not fit the config.
        """
        return None

    def training_examples(self, found: Any) -> tuple[Examples, list[str]]:
        """The training set and its class names ([] if it has none); `found` is from `find`."""
        raise self._missing("training_examples")

    def batch_shapes(self, rows: int, crop: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of a batch of `rows` elements, with clips of `crop` x `crop` pixels."""
        raise self._missing("batch_shapes")

    def augment(self, model: nn.Module, key: jax.Array, batch: Batch) -> Batch:
        """Augmentation on the devices, applied to the whole batch; `key` is a random key."""
        return batch

    def initial_extra(self, model: nn.Module, variables: Mapping[str, Any]) -> Any:
        """The initial value of `TrainState.extra`, the arrays that `loss` keeps between steps."""
        return {}

    def loss(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        extra: Any,
        batch: Batch,
        rngs: Mapping[str, jax.Array],
    ) -> tuple[jax.Array, Metrics, dict[str, Any]]:
        """The forward pass in training mode and the loss: a pure function, traced by jit.

        Args:
          model: the network.
          variables: its "params", with respect to which the loss is differentiated, and
            "batch_stats"; with split batch norms "split_means", too (see `forward`).
          extra: `TrainState.extra`, with the structure of `initial_extra`.
          batch: arrays of a batch, or of a part of it if gradients are accumulated.
          rngs: {"dropout": key}, a new key at each step.

        Returns:
          `(loss, metrics, updates)`: a scalar; named scalars to report; and the new values of
          "batch_stats", "split_means" and "extra", each left out if it is unchanged.
        """
        return supervised(self.objective)(model, variables, extra, batch, rngs)

    def objective(
        self, logits: jax.Array, endpoints: dict[str, jax.Array], batch: Batch
    ) -> tuple[jax.Array, Metrics]:
        """`(loss, metrics)` of the network's outputs, for tasks that do not override `loss`."""
        raise self._missing("objective")

    def validate(
        self,
        predictor: Predictor,
        variables: Mapping[str, Any],
        extra: Any,
        found: Any,
    ) -> dict[str, Any]:
        """Metrics on the validation set during training, including the headline metric, and
        pictures uint8 (H, W, 3) for TensorBoard, if any.

        Args:
          predictor: runs the network (`predictor.model`) on the local devices.
          variables: the network's variables on the local devices; the parameters are the moving
            average if the run keeps one.
          extra: `TrainState.extra`, on the local devices.
          found: the validation set, from `find`.
        """
        raise self._missing("validate")

    def test(
        self,
        recognizer: Any,
        found: Any,
        workdir: str | os.PathLike | None,
        save_scores: bool = False,
    ) -> TestResult:
        """Scores the test set under the config's protocol.

        Args:
          recognizer: the network to test, a `slowfast_jax.recognizer.Recognizer`.
          found: the test set, from `find`.
          workdir: receives the task's files; None: nothing is written.
          save_scores: whether to write scores.npz, too.
        """
        raise self._missing("test")

    def combine(
        self, files: Sequence[str | os.PathLike], workdir: str | os.PathLike | None
    ) -> dict[str, Any]:
        """Metrics of the mean of the scores that several tests saved in scores.npz.

        Args:
          files: what `test` wrote with `save_scores`.
          workdir: where the test set may be generated; see `find`.

        Raises:
          ValueError: the files are from tests of different examples or classes.
        """
        raise self._missing("combine")

    def videos(self, found: Any) -> list[str]:
        """Names of the videos of a subset, which is `found`; a name may occur more than once."""
        raise self._missing("videos")

    def extract(
        self, recognizer: Any, found: Any, names: Sequence[str], options: Options
    ) -> Iterator[Extracted]:
        """Extracts features of the videos `names`, some of `videos(found)`, each once.

        Args:
          recognizer: the network, a `slowfast_jax.recognizer.Recognizer`.
          found: the test set, from `find`.
          names: the videos.
          options: the endpoint and the windows.
        """
        raise self._missing("extract")

    def report(self, workdir: str | os.PathLike) -> dict[str, Any]:
        """What the report shows about the last test in `workdir` in addition to its metrics.

        Returns keyword arguments for `report.html.write_report`.
        """
        return {}

    def _missing(self, name: str) -> NotImplementedError:
        return NotImplementedError(
            f"task {type(self).__name__} does not define `{name}`; slowfast_jax/tasks/base.py says "
            "what it returns"
        )


def forward(
    model: nn.Module,
    variables: Mapping[str, Any],
    batch: Batch,
    rngs: Mapping[str, jax.Array],
) -> tuple[jax.Array, dict[str, jax.Array], dict[str, Any]]:
    """Runs the network in training mode on a batch's "clip", and its "boxes" if it has any.

    Returns:
      `(logits, endpoints, updates)`; `updates` holds the new running statistics ("batch_stats")
      of a network with batch norm, and "split_means" if its norms are split.
    """
    (logits, endpoints), updates = model.apply(
        variables, batch["clip"], batch.get("boxes"), train=True, rngs=rngs,
        mutable=["batch_stats", SPLIT_MEANS],
    )
    return logits, endpoints, updates


def supervised(objective: Objective) -> Loss:
    """Turns an objective of the network's outputs into a loss with `Task.loss`'s signature."""

    def loss(model, variables, extra, batch, rngs):
        logits, endpoints, updates = forward(model, variables, batch, rngs)
        value, metrics = objective(logits, endpoints, batch)
        return value, metrics, updates

    return loss
