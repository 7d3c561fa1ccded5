"""The checkpoints of a training run: written while it goes on, complete or not there at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from slowfast_jax.training.checkpoint import COLLECTIONS, METADATA
from slowfast_jax.training.state import TrainState

FOLDER = "checkpoints"
SCORE = "score"


class Checkpoints:
    """`workdir`/checkpoints/<step>, each readable by `load_checkpoint` and as weights.

    A folder gets its name when it is complete, so a run that is killed while it saves leaves the
    checkpoint before. The last `keep_last` stay, and the `keep_best` of the highest score.
    """

    def __init__(self, workdir: str | Path, *, keep_last: int = 2, keep_best: int = 1):
        self.directory = Path(workdir).absolute() / FOLDER
        preserve = [policies.LatestN(keep_last)]
        if keep_best:
            preserve.append(policies.BestN(
                get_metric_fn=lambda metrics: metrics[SCORE], n=keep_best,
                keep_checkpoints_without_metrics=False,
            ))
        self._manager = ocp.CheckpointManager(self.directory, options=ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(preserve),
            cleanup_tmp_directories=True,
        ))

    def steps(self) -> list[int]:
        """Of the complete checkpoints, rising."""
        return sorted(self._manager.all_steps())

    def path(self, step: int) -> Path:
        return self.directory / str(step)

    def metadata(self, step: int) -> dict[str, Any]:
        restored = self._manager.restore(
            step, args=ocp.args.Composite(**{METADATA: ocp.args.JsonRestore()})
        )
        return restored[METADATA]

    def restore(self, step: int, state: TrainState) -> TrainState:
        """The state of a step, in the shapes and on the devices of `state`."""
        like = jax.tree.map(ocp.utils.to_shape_dtype_struct, _items(state))
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(**{k: ocp.args.StandardRestore(v) for k, v in like.items()}),
        )
        return state.replace(
            step=jax.numpy.asarray(step, state.step.dtype), **{k: restored[k] for k in like}
        )

    def save(
        self, step: int, state: TrainState, metadata: Mapping[str, Any], score: float | None = None
    ) -> None:
        """Begins to write; returns once the state is copied, so that training can change it.

        An error of the save before comes out here: OSError with the place and what is left to go
        on from.
        """
        items = {k: ocp.args.StandardSave(v) for k, v in _items(state).items()}
        items[METADATA] = ocp.args.JsonSave(dict(metadata))
        metrics = None if score is None else {SCORE: float(score)}
        try:
            self._manager.save(
                step, args=ocp.args.Composite(**items), metrics=metrics, force=True
            )
        except Exception as error:
            raise self._failed(error) from error

    def wait(self) -> None:
        """Until everything is written; raises what went wrong, as `save`."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failed(error) from error

    def close(self) -> None:
        self._manager.close()

    def _failed(self, error: Exception) -> OSError:
        steps = self.steps()
        left = f"the last complete one is {self.path(steps[-1])}" if steps else "there is none yet"
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        return OSError(
            f"a checkpoint could not be written to {self.directory}: {reason}. Make room or take "
            f"another --workdir, and start again: {left}"
        )


def latest_checkpoint(workdir: str | Path) -> Path | None:
    """The folder of the last complete checkpoint of a run, None where there is none."""
    folder = Path(workdir) / FOLDER
    steps = [int(p.name) for p in folder.glob("*") if p.name.isdecimal() and p.is_dir()]
    return folder / str(max(steps)) if steps else None


def _items(state: TrainState) -> dict[str, Any]:
    items = {name: getattr(state, name) for name in (*COLLECTIONS, "opt_state")}
    return {name: tree for name, tree in items.items() if jax.tree.leaves(tree)}
