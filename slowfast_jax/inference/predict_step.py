"""The one jitted step that turns clips into probabilities.

Validation, testing, `Recognizer` and ahead-of-time compilation all run this program.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
from absl import logging
from jax.sharding import Mesh

from slowfast_jax.inference.compiling import announced
from slowfast_jax.training.sharding import make_mesh, over_batch, replicated, spread_maps

# (variables, batch) -> probabilities
PredictStep = Callable[[Mapping[str, Any], Mapping[str, jax.Array]], jax.Array]
# endpoints of the network -> the result of the step
Output = Callable[[Mapping[str, jax.Array]], jax.Array]


def probabilities(endpoints: Mapping[str, jax.Array]) -> jax.Array:
    """Class probabilities (N, K), or (N, B, K) with boxes."""
    return endpoints["probs"]


def make_predict_step(
    model: nn.Module, mesh: Mesh, output: Output = probabilities
) -> PredictStep:
    """Makes the jitted `step(variables, batch) -> output(endpoints)` in evaluation mode.

    A batch has "clip" (N, T, H, W, 3), and "boxes" (N, B, 4) for networks that classify boxes.

    A single CPU computes the clips of a batch one after the other: all cores have enough to do with
    one clip, whose feature maps fit its caches better (docs/performance.md has the times).
    """
    on_cpu = mesh.size == 1 and mesh.devices.item().platform == "cpu"

    @jax.jit
    def predict(variables: Mapping[str, Any], batch: Mapping[str, jax.Array]) -> jax.Array:
        variables = jax.lax.with_sharding_constraint(variables, replicated(mesh))
        inputs = [batch[name] for name in ("clip", "boxes") if name in batch]

        def run(*inputs: jax.Array) -> jax.Array:
            return output(model.apply(variables, *inputs)[1])

        if on_cpu and len(inputs[0]) > 1:
            return jax.lax.map(lambda clip: run(*(x[None] for x in clip))[0], inputs)
        with spread_maps(mesh):
            return run(*inputs)

    return predict


class Predictor:
    """Runs a network on the local devices; each process predicts its own examples.

    Attributes:
      model: the network.
      mesh: the devices over which a batch is split.
      say: shows a sentence before and after the network is compiled, which the first call with
        inputs of a shape does. By default, it is logged at level INFO.
    """

    def __init__(self, model: nn.Module, output: Output = probabilities):
        self.model = model
        self.mesh = make_mesh(devices=jax.local_devices())
        self._step = make_predict_step(model, self.mesh, output)
        self.say: Callable[[str], None] = logging.info
        self._compiled: set[tuple] = set()  # shapes of the inputs

    @property
    def devices(self) -> int:
        """Number of devices that a batch is split over."""
        return self.mesh.size

    def place(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replicates the variables on all devices of the mesh, so that calls need not copy them."""
        return jax.device_put(variables, replicated(self.mesh))

    def __call__(
        self, variables: Mapping[str, Any], clips: Any, boxes: Any = None
    ) -> jax.Array:
        """The output, by default probabilities (N, K), or (N, B, K) with boxes.

        It returns before they are computed.

        If N is no multiple of the number of devices, every device computes the whole batch.
        """
        batch = {"clip": clips} if boxes is None else {"clip": clips, "boxes": boxes}
        if len(clips) % self.mesh.size == 0:
            places = {name: over_batch(self.mesh, rows.shape) for name, rows in batch.items()}
            batch = jax.device_put(batch, places)
        shapes = tuple(rows.shape for rows in batch.values())
        if shapes in self._compiled:
            return self._step(variables, batch)
        self._compiled.add(shapes)
        what = f"the network for batches of {' x '.join(map(str, clips.shape))}"
        with announced(what, self.say):
            return self._step(variables, batch)
