"""Settings of other programs that change what a network computes but not its parameters.

PySlowFast stores its config as YAML. MMAction2's checkpoints can carry their config, a Python file
as text. It is parsed, never executed: literals and calls such as dict(type="AVARoIHead") are read,
everything else is ignored.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Rows (end of the setting's path, values that this project computes, what the others mean).
MMACTION2 = (
    ("spatial_pool_type", ("max",), "box features are pooled over space in another way"),
    ("with_temporal_pool", (True,), "box features are not averaged over time"),
    ("background_class", (True,), "class 0 is not the background"),
    ("roi_layer_type", ("RoIAlign",), "boxes are pooled by another operation"),
    ("roi_head.shared_head.type", (), "the head sees the context of boxes"),
    ("roi_head.bbox_head.type", ("BBoxHeadAVA",), "it is another head"),
    ("roi_head.bbox_roi_extractor.type", ("SingleRoIExtractor3D",), "it is another extractor"),
    ("cls_head.type", ("SlowFastHead", "I3DHead"), "it is another head"),
    ("cls_head.spatial_type", ("avg",), "features are pooled over space in another way"),
    ("style", ("pytorch",), "the stride is in another convolution of a block"),
)
SAME = {False: False, True: True}
# Rows (setting in roi_head of MMAction2's config, its default, keyword of a network here, and
# value of the setting -> value of the keyword).
BOX_HEAD = (
    ("bbox_roi_extractor.output_size", 16, "roi_resolution", {size: size for size in range(1, 65)}),
    ("bbox_roi_extractor.featmap_stride", 16, "roi_scale", {8: 1 / 8, 16: 1 / 16, 32: 1 / 32}),
    ("bbox_roi_extractor.aligned", True, "roi_aligned", SAME),
    ("bbox_roi_extractor.temporal_pool_mode", "avg", "roi_time_pool",
     {"avg": "mean", "max": "max"}),
    ("bbox_roi_extractor.with_global", False, "roi_context", SAME),
    ("bbox_head.mlp_head", False, "roi_hidden", SAME),
)

# Fields of PySlowFast's section DATA that say for which clips a network was trained, and those of
# this project's protocol.
CLIP_FIELDS = {
    "NUM_FRAMES": "num_frames", "SAMPLING_RATE": "sampling_rate", "TRAIN_CROP_SIZE": "train_crop"
}


def clip_settings(text: str) -> dict[str, int]:
    """The fields of the protocol that PySlowFast's config has.

    Args:
      text: the config as YAML; {} is returned for text that is not one.
    """
    section = re.search(r"^DATA:[ \t]*\n((?:[ \t]+.*\n?)+)", text, re.MULTILINE)
    if section is None:
        return {}
    found = re.findall(r"^[ \t]+(\w+):[ \t]*(\d{1,9})[ \t]*$", section[1], re.MULTILINE)
    return {CLIP_FIELDS[name]: int(value) for name, value in found if name in CLIP_FIELDS}


def unsupported_settings(text: str) -> list[str]:
    """Descriptions of the settings in MMAction2's config with which this project would differ.

    Args:
      text: the config; [] is returned for text that is not one.
    """
    model = _model(text)
    found = []
    for path, value in _settings(model):
        for end, accepted, meaning in MMACTION2:
            if f".{path}".endswith(f".{end}") and value is not None:
                last = value.rpartition(".")[2] if isinstance(value, str) else value
                if last not in accepted:
                    found.append(f"model.{path} is {value!r}: {meaning}")
    return found


def box_head_keywords(text: str) -> dict[str, Any]:
    """Keywords that a network needs for the head of boxes in MMAction2's config.

    Args:
      text: the config; {} is returned for text that is not one, and if the config has no such head.
    """
    settings = dict(_settings(_model(text)))
    if not any(path.startswith("roi_head.") for path in settings):
        return {}
    found = {}
    for path, default, keyword, values in BOX_HEAD:
        value = settings.get(f"roi_head.{path}", default)
        if value in values:
            found[keyword] = values[value]
    return found


def box_head_settings(network: Mapping[str, Any]) -> list[str]:
    """What roi_head of MMAction2's config must set for the head of boxes of a network; a sentence
    for each part of it. Settings that have their default there are left out.

    Args:
      network: the keywords of the network.
    """
    parts: dict[str, list[str]] = {}
    for path, default, keyword, values in BOX_HEAD:
        if keyword not in network or network[keyword] == values[default]:
            continue
        part, _, name = path.partition(".")
        theirs = next((key for key, ours in values.items() if ours == network[keyword]), None)
        if theirs is None:
            raise ValueError(
                f"{keyword} is {network[keyword]!r}, for which MMAction2 has no {name}"
            )
        parts.setdefault(part, []).append(f"{name}={theirs!r}")
    return [f"roi_head.{part}: {', '.join(settings)}" for part, settings in parts.items()]


def _model(text: str) -> dict[str, Any]:
    """The section `model` of MMAction2's config, or {} if the config has no such section."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    model = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "model" for target in statement.targets
        ):
            model = _value(statement.value)
    return model if isinstance(model, dict) else {}


def _settings(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        here = f"{path}.{name}" if path else str(name)
        if isinstance(value, dict):
            yield from _settings(value, here)
        elif isinstance(value, str | int | None):
            yield here, value


def _value(node: ast.AST) -> Any:
    """The value of a literal, or of dict(...); None for everything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("dict", "ConfigDict"):
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.Dict):
        return {
            key.value: _value(value) for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
    return None
