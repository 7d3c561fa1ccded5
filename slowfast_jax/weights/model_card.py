"""The model card of a checkpoint on the hub: README.md, generated from its config.json."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.text_files import counted
from slowfast_jax.published import PUBLISHERS, Row, rows

MOST_CLASSES = 50  # that the card lists
PLACEHOLDER = "ORGANIZATION/REPOSITORY"
FIGURES = {"top1_acc": "top-1 accuracy", "top5_acc": "top-5 accuracy", "map": "mAP"}
TITLES = {
    "Caffe2": "PySlowFast", "Paddle": "PaddleVideo", "slowfast_jax": "slowfast_jax",
} | {publisher.title: publisher.title for publisher in PUBLISHERS.values()}


def model_card(description: Mapping[str, Any], parameters: int, repository: str = "") -> str:
    """The text of README.md.

    Args:
      description: the content of config.json.
      parameters: number of parameters.
      repository: "organization/name"; "" if it is not known yet.

    Returns:
      Markdown, with the front matter that the hub reads.
    """
    source = description["source"]
    row = rows().get(source.get("published", ""))
    boxes = description["model"].get("detection")
    front = [
        "library_name: slowfast_jax",
        *([f"license: {row.publisher.license.lower()}"] if row else []),
        *([] if boxes else ["pipeline_tag: video-classification"]),
        "tags: [video, action-recognition, jax, flax]",
    ]
    name = description["config"].get("name") or description["model"]["name"]
    sections = {
        f"# {name}": _what(description, parameters),
        "## Use": _use(repository or PLACEHOLDER, boxes),
        "## Input and test protocol": _protocol(description),
        "## Classes": _classes(description["class_names"]),
        "## Results": _results(description, row),
        "## Source and license": _source(source, row),
    }
    body = "\n\n".join(f"{title}\n\n{text}" for title, text in sections.items())
    return "\n".join(["---", *front, "---", "", body, ""])


def _what(description: Mapping[str, Any], parameters: int) -> str:
    count = len(description["class_names"])
    what = "persons, given by boxes," if description["model"].get("detection") else "videos"
    return (
        f"A network that classifies {what} into {count} classes: `{description['model']['name']}` "
        f"of slowfast_jax (JAX and Flax), {parameters / 1e6:.2f} million parameters."
    )


def _use(repository: str, boxes: bool) -> str:
    call = "scores = recognizer(clips, boxes)  # uint8 (N, T, H, W, 3), boxes (N, B, 4) in pixels"
    if not boxes:
        call = 'recognizer.predict_video("a.mp4", top_k=5)  # [(class, score), ...]'
    return (
        "```python\nimport slowfast_jax\n\n"
        f'recognizer = slowfast_jax.load("hf://{repository}")\n{call}\n```\n\n'
        "`model.safetensors` has the arrays under the paths of the Flax variables; `config.json` "
        "has the keywords of the network, the class names and the test protocol."
    )


def _protocol(description: Mapping[str, Any]) -> str:
    protocol = description["protocol"]
    views = ""
    if not description["model"].get("detection"):
        clips, crops = counted(protocol["clips"], "clip"), counted(protocol["crops"], "crop")
        views = f"\n- a video is tested as {clips} x {crops}"
    return (
        f"- a clip has {protocol['num_frames']} frames, every {protocol['sampling_rate']} of a "
        f"video with {protocol['target_fps']:g} frames per second, of {protocol['test_crop']} "
        "pixels in height and width\n"
        f"- RGB values of 0 to 1 are normalized with the mean {_numbers(description['mean'])} and "
        f"the standard deviation {_numbers(description['std'])}{views}"
    )


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _classes(names: Sequence[str]) -> str:
    listed = ", ".join(" ".join(str(name).split()) for name in names[:MOST_CLASSES])
    more = f", ... `config.json` lists all {len(names)}." if len(names) > MOST_CLASSES else ""
    return listed + more


def _results(description: Mapping[str, Any], row: Row | None) -> str:
    parts = []
    if description.get("tested"):
        metrics = description["tested"]["metrics"]
        listed = "\n".join(f"| {name} | {value:.2f} |" for name, value in metrics.items())
        fingerprint = json.dumps(description["tested"]["fingerprint"], indent=1)
        parts.append(
            "Measured with slowfast_jax:\n\n| metric | percent |\n|---|---|\n" + listed
            + "\n\nEverything that these numbers depend on:\n\n```json\n" + fingerprint + "\n```"
        )
    if row and row.figures:
        figures = ", ".join(f"{FIGURES[key]} {value}" for key, value in row.figures.items())
        parts.append(
            f"Published by [{row.publisher.title}]({row.source}), not measured again: {figures} "
            f"percent ({counted(row.clips, 'clip')} x {counted(row.crops, 'crop')})."
        )
    digest = description["fingerprint"]["weights_sha256"]
    parts = parts or ["No test of these weights is recorded."]
    return "\n\n".join([*parts, f"SHA-256 of `model.safetensors`: `{digest}`."])


def _source(source: Mapping[str, Any], row: Row | None) -> str:
    initialized = source.get("initialized", ())
    random = f" These parameters are random: {', '.join(initialized)}." if initialized else ""
    if row:
        return (
            f"Converted from [{row.name}]({row.address}), published by "
            f"[{row.publisher.title}]({row.publisher.repository}) under the license "
            f"{row.publisher.license}."
        )
    program = TITLES.get(source.get("program", ""), source.get("program", "another program"))
    if program == "slowfast_jax":
        start = f", starting from `{source['started_from']}`" if "started_from" in source else ""
        origin = f"Trained with slowfast_jax{start}."
    else:
        origin = f"Converted from `{source.get('file', 'a file')}`, in the form of {program}."
    return (
        f"{origin}{random} The license of the weights is not recorded: add `license:` to the head "
        "of this file."
    )
