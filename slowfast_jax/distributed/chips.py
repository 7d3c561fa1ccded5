"""Peak figures of accelerators, as published by their makers."""

from typing import NamedTuple


class Chip(NamedTuple):
    """Peak figures of a chip.

    flops: dense bfloat16 FLOP/s. memory: bytes. bandwidth: of the memory, bytes/s. links: to other
    chips, all together, bytes/s.
    """

    flops: float
    memory: float
    bandwidth: float
    links: float


# Keys: part of JAX's `device_kind`. Sources: for TPUs
# docs.cloud.google.com/tpu/docs/system-architecture-tpu-vm, for GPUs their data sheets.
CHIPS = {
    "TPU v4": Chip(275e12, 32e9, 1228e9, 300e9),
    "TPU v5 lite": Chip(197e12, 16e9, 819e9, 200e9),
    "TPU v5": Chip(459e12, 95e9, 2765e9, 600e9),
    "TPU v6 lite": Chip(918e12, 32e9, 1640e9, 448e9),
    "V100": Chip(125e12, 32e9, 900e9, 300e9),
    "A100": Chip(312e12, 80e9, 2039e9, 600e9),
    "H100": Chip(989e12, 80e9, 3350e9, 900e9),
    "H200": Chip(989e12, 141e9, 4800e9, 900e9),
}


def find_chip(kind: str) -> Chip | None:
    """The chip of a JAX `device_kind`, None if it is unknown."""
    names = [name for name in CHIPS if name in kind]
    return CHIPS[max(names, key=len)] if names else None
