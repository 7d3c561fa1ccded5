"""Memory and time of a gradient of reversible transformers and of plain ones of the same size.

    python -m benchmarks.reversible
    python -m benchmarks.reversible --networks video --rounds 0

Each network is compiled reversible, plain, and plain with all blocks recomputed (`remat`). Memory
is what the compiler reserves for temporary values in a forward and a backward pass: activations
above all, without parameters and gradients. With --rounds 0 nothing is run.
"""

import statistics
from collections.abc import Callable

import jax
import numpy as np

from benchmarks import measure
from slowfast_jax import malloc
from slowfast_jax.models.mvit import MViT
from slowfast_jax.models.reversible import RevMViT
from slowfast_jax.models.zoo.transformers import BASE, ROWS, mvit
from slowfast_jax.training.losses import cross_entropy

DEPTH = 24
RATES = dict(dropout=0.0, drop_path=0.0)


def rev_vit() -> tuple[dict, tuple[int, ...]]:
    """Rev-ViT-S with 24 blocks, on images."""
    return ROWS["imagenet/rev_vit_s"][1] | dict(depth=DEPTH), (1, 224, 224, 3)


def rev_mvit() -> tuple[dict, tuple[int, ...]]:
    """Rev-MViT-B 16x4 with the 24 blocks of MViT-B 32x3."""
    model = mvit(DEPTH, BASE, pool_kernel=(3, 3, 3), qkv_bias=False, transitions=BASE)
    return model, (16, 224, 224, 3)


NETWORKS = {"image": rev_vit, "video": rev_mvit}


def main() -> None:
    parser = measure.options(__doc__)
    parser.add_argument("--networks", type=measure.names(NETWORKS), default="image,video",
                        help="which networks, joined by commas [%(default)s]")
    options = parser.parse_args()
    malloc.restart_with_settings()
    measure.pin(options.threads)
    for name in options.networks:
        compare(name, options.batch, options.rounds)


def compare(name: str, batch: int, rounds: int) -> None:
    """Prints one network's table."""
    keywords, shape = NETWORKS[name]()
    reversible = RevMViT(**keywords | RATES)
    plain = {key: keywords[key] for key in keywords.keys() - {"transitions", "stage_fusion"}}
    blocks = [f"block{i}" for i in range(DEPTH)]
    networks = {
        "reversible": reversible,
        "plain": MViT(**plain | RATES | dict(class_token=False)),
        "plain, remat": MViT(**plain | RATES | dict(class_token=False, remat=blocks)),
    }
    clip = np.random.default_rng(0).standard_normal((batch, *shape), np.float32)
    gradients, memory = {}, {}
    for kind, network in networks.items():
        gradients[kind], memory[kind] = compiled(network, clip)
    seconds = measure.in_turn(gradients, rounds) if rounds else {}
    rows = []
    for kind, size in memory.items():
        times = seconds.get(kind)
        rows.append([
            kind, size / 1e6, f"{size / memory['plain']:.2f}",
            1e3 * statistics.median(times) if times else "",
        ])
    print(f"\n{NETWORKS[name].__doc__} Batch {batch}.")
    print(measure.table(["gradient of", "MB", "of plain", "median ms"], rows), flush=True)


def compiled(network: MViT, clip: np.ndarray) -> tuple[Callable[[], object], int]:
    """A function that computes a gradient, and the bytes of its temporary values."""
    variables = jax.eval_shape(network.init, jax.random.key(0), clip)
    generator = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: 0.02 * generator.standard_normal(leaf.shape, np.float32), variables["params"]
    )
    labels = np.arange(len(clip))

    def loss(params, clip):
        return cross_entropy(network.apply({"params": params}, clip, train=True)[0], labels)

    program = jax.jit(jax.grad(loss)).lower(params, clip).compile()
    arguments = jax.device_put((params, clip))
    return (
        lambda: jax.block_until_ready(program(*arguments)),
        program.memory_analysis().temp_size_in_bytes,
    )


if __name__ == "__main__":
    main()
