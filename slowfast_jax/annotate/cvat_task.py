"""Writes persons as annotations of a CVAT task, in which people add the actions.

The format is "CVAT for video 1.1": https://docs.cvat.ai/docs/other/xml_format.
`data_pipelines.prepare.cvat` reads it.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from data_pipelines.prepare.cvat import EDGES, LABEL
from data_pipelines.prepare.label_tables import ACTION, PERSON
from slowfast_jax.annotate.persons import Found, Person


def cvat_labels(actions: Sequence[str]) -> list[dict[str, Any]]:
    """The labels of a task, in the form that CVAT takes as "raw" ones.

    Args:
      actions: a box to tick for each; none: the user writes the actions, with commas between.
    """
    attributes = [
        *(_attribute(action, "checkbox", "false") for action in actions),
        *([] if actions else [_attribute(ACTION, "text", "")]),
        _attribute(PERSON, "text", "", mutable=False),
    ]
    return [{"name": LABEL, "type": "rectangle", "attributes": attributes}]


def _attribute(name: str, kind: str, default: str, mutable: bool = True) -> dict[str, Any]:
    return {
        "name": name, "input_type": kind, "mutable": mutable, "values": [default],
        "default_value": default,
    }


def cvat_task(
    found: Found, times: np.ndarray, actions: Sequence[str]
) -> ElementTree.ElementTree:
    """The annotations of a task with one video: a track for each person.

    Args:
      found: the persons in the video.
      times: seconds of each frame, see `frame_times`: CVAT counts frames.
      actions: as for `cvat_labels`.
    """
    (label,) = cvat_labels(actions)
    root = ElementTree.Element("annotations")
    _add(root, {"version": "1.1", "meta": {"task": {
        "name": found.name, "size": found.info.frames, "mode": "interpolation", "start_frame": 0,
        "stop_frame": found.info.frames - 1, "labels": {"label": label | {"attributes": [
            ("attribute", each | {"values": "\n".join(each["values"])})
            for each in label["attributes"]
        ]}},
        "original_size": {"width": found.info.width, "height": found.info.height},
        "source": PurePosixPath(found.name).name,
    }}})
    defaults = {each["name"]: each["default_value"] for each in label["attributes"]}
    by_number = sorted(found.persons, key=lambda person: person.number)
    tracks = itertools.groupby(by_number, key=lambda person: person.number)
    for index, (number, persons) in enumerate(tracks):
        track = ElementTree.SubElement(
            root, "track", {"id": str(index), "label": LABEL, "source": "auto"}
        )
        for box in _boxes(list(persons), found, times):
            element = ElementTree.SubElement(track, "box", box)
            for name, value in (defaults | {PERSON: str(number)}).items():
                ElementTree.SubElement(element, "attribute", {"name": name}).text = value
    ElementTree.indent(root)
    return ElementTree.ElementTree(root)


def _add(parent: ElementTree.Element, content: Any) -> None:
    """Adds nested dicts or pairs as elements."""
    for name, value in content.items() if isinstance(content, dict) else content:
        element = ElementTree.SubElement(parent, name)
        if isinstance(value, dict | list):
            _add(element, value)
        else:
            element.text = str(value)


def _boxes(
    persons: Sequence[Person], found: Found, times: np.ndarray
) -> Iterator[dict[str, str]]:
    """The boxes of a track. One that is "outside" follows where the person is not in the next
    frame to label: otherwise CVAT would go on showing the box."""
    following = dict(itertools.pairwise(found.times))
    seen = {person.time for person in persons}
    size = (found.info.width, found.info.height) * 2
    for person in persons:
        edges = (f"{edge * pixels:.2f}" for edge, pixels in zip(person.box, size, strict=True))
        box = dict(zip(EDGES, edges, strict=True))
        shown = {"keyframe": "1", "outside": "0", "occluded": "0", **box, "z_order": "0"}
        frame = int(np.abs(times - person.time).argmin())
        yield {"frame": str(frame)} | shown
        if following.get(person.time) not in seen and frame + 1 < len(times):
            yield {"frame": str(frame + 1)} | shown | {"outside": "1"}
