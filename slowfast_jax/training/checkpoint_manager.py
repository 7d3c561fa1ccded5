"""Checkpoints of a training run, written asynchronously and atomically."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from slowfast_jax import distributed
from slowfast_jax.ops.norm_statistics import SPLIT_MEANS
from slowfast_jax.training.checkpoint import (
    AVERAGE,
    COLLECTIONS,
    FOLDER,
    METADATA,
    is_checkpoint,
    latest_checkpoint,
)
from slowfast_jax.training.state import TrainState

ARRAYS = (*COLLECTIONS, AVERAGE, "opt_state", "extra", SPLIT_MEANS)  # items, each a tree of arrays
DELETED = "deleted"  # checkpoints are moved here before they are removed


class Checkpoints:
    """`workdir`/checkpoints/<step>, each readable by `load_checkpoint` and as weights.

    A folder gets its name when it is complete and loses it before it is removed, so a run that is
    killed at any moment leaves only complete checkpoints. The last `keep_last` are kept, and the
    `keep_best` with the highest `scores` (step -> score, updated by the caller during the run), of
    equal ones the first.
    """

    def __init__(
        self,
        workdir: str | Path,
        *,
        keep_last: int = 2,
        keep_best: int = 1,
        scores: Mapping[int, float] | None = None,
    ):
        self.directory = Path(workdir).absolute() / FOLDER
        self.scores = dict(scores or {})
        self._keep_last, self._keep_best = keep_last, keep_best
        self.directory.mkdir(parents=True, exist_ok=True)
        # Zstandard would take a third of the processor time of a save, for 7 % of its bytes.
        arrays = {name: ocp.PyTreeCheckpointHandler(use_compression=False) for name in ARRAYS}
        self._manager = ocp.CheckpointManager(
            self.directory,
            item_handlers=arrays | {METADATA: ocp.JsonCheckpointHandler()},
            options=ocp.CheckpointManagerOptions(
                cleanup_tmp_directories=True, todelete_subdir=DELETED,
            ),
        )
        self._empty_deleted()  # left by a killed run; folders there would block new ones

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, in increasing order."""
        return sorted(s for s in self._manager.all_steps() if is_checkpoint(self.path(s)))

    def path(self, step: int) -> Path:
        return self.directory / str(step)

    def metadata(self, step: int) -> dict[str, Any]:
        restored = self._manager.restore(
            step, args=ocp.args.Composite(**{METADATA: ocp.args.JsonRestore()})
        )
        return restored[METADATA]

    def restore(self, step: int, state: TrainState) -> TrainState:
        """The state saved at a step. `state` gives shapes, dtypes and shardings (arrays or
        ShapeDtypeStructs)."""
        like = jax.tree.map(ocp.utils.to_shape_dtype_struct, _items(state))
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(**{
                name: ocp.args.PyTreeRestore(
                    tree, restore_args=ocp.checkpoint_utils.construct_restore_args(tree)
                )
                for name, tree in like.items()
            }),
        )
        count = jax.device_put(
            jax.numpy.asarray(step, state.step.dtype), getattr(state.step, "sharding", None)
        )
        return state.replace(step=count, **{k: restored[k] for k in like})

    def set_aside(self, step: int) -> Path:
        """Renames an unreadable checkpoint, so that it is not found again. All processes must call
        this."""
        aside = self.path(step).with_name(f"{step}.unreadable")
        distributed.barrier("a checkpoint that cannot be read")
        if distributed.first():
            shutil.rmtree(aside, ignore_errors=True)
            self.path(step).rename(aside)
        distributed.barrier("a checkpoint that was set aside")
        self._manager.reload()
        return aside

    def save(self, step: int, state: TrainState, metadata: Mapping[str, Any]) -> None:
        """Starts writing and returns once the state is copied, so that training can change it.

        Raises OSError if this or the previous save failed, naming the folder and the last complete
        checkpoint.
        """
        self.wait()
        items = {k: ocp.args.PyTreeSave(v) for k, v in _on_host(_items(state)).items()}
        items[METADATA] = ocp.args.JsonSave(dict(metadata))
        try:
            self._manager.save(step, args=ocp.args.Composite(**items), force=True)
        except Exception as error:
            raise self._failed(error) from error

    def wait(self) -> None:
        """Waits until everything is written and removes old checkpoints. Raises like `save`."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failed(error) from error
        self._remove_old()

    def close(self) -> None:
        """Waits for saves. Errors are only logged, because another may be propagating."""
        try:
            self._manager.close()
        except Exception as error:
            logging.error("%s", self._failed(error))

    def _remove_old(self) -> None:
        steps = self.steps()
        # The first of equally good ones is the better one, as in the log of a run.
        scored = sorted((s for s in steps if s in self.scores), key=lambda s: (self.scores[s], -s))
        distributed.barrier("the removal of checkpoints")  # all processes have listed the same ones
        stay = steps[-self._keep_last :] + scored[max(len(scored) - self._keep_best, 0) :]
        for step in set(steps) - set(stay):
            self._manager.delete(step)  # called by all processes; only renames it
        self._empty_deleted()

    def _empty_deleted(self) -> None:
        if distributed.first():
            shutil.rmtree(self.directory / DELETED, ignore_errors=True)

    def _failed(self, error: Exception) -> OSError:
        last = latest_checkpoint(self.directory.parent)
        left = f"the last complete one is {last}" if last else "no checkpoint is complete yet"
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        return OSError(
            f"a checkpoint could not be written to {self.directory}: {reason}. Free disk space or "
            f"choose another --workdir, and start again: {left}"
        )


def _items(state: TrainState) -> dict[str, Any]:
    items = {name: getattr(state, name) for name in ARRAYS}
    return {name: tree for name, tree in items.items() if jax.tree.leaves(tree)}


def _on_host(items: dict[str, Any]) -> dict[str, Any]:
    """NumPy copies of arrays that this process holds completely; others are returned unchanged.

    Orbax saves a NumPy array in half the time of a JAX array, whose sharding it also writes and
    whose shards it checks.
    """
    for leaf in jax.tree.leaves(items):
        leaf.copy_to_host_async()
    return jax.tree.map(lambda leaf: np.array(leaf) if leaf.is_fully_addressable else leaf, items)
