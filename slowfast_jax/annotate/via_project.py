"""Writes persons as a project of VIA 3, in which people add the actions.

The format: "Structure of VIA Project JSON File" in via-3.x.y/CodeDoc.md of
https://gitlab.com/vgg/via. `data_pipelines.prepare.via` reads it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from data_pipelines.prepare.label_tables import ACTION, PERSON
from data_pipelines.prepare.via import RECTANGLE, TEXT
from slowfast_jax.annotate.persons import Found

CHECKBOX, SELECT = 2, 4  # types of attributes
VIDEO, FILE_ADDRESS = 4, 3  # type and place of a file
SEGMENT_ID, ACTION_ID, PERSON_ID = "1", "2", "3"  # of the attributes
IN_A_FRAME, OF_A_SEGMENT = "FILE1_Z1_XY1", "FILE1_Z2_XY0"  # what an attribute describes


def via_project(
    found: Sequence[Found], folder: Path, actions: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The project, to be stored as JSON.

    Args:
      found: the persons in each video.
      folder: the folder of the videos, in which the browser looks for them.
      actions: the choices for each person; none: the user writes the actions, with commas between.
    """
    views = [str(number) for number in range(1, len(found) + 1)]
    return {
        "project": {
            "pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__", "pname": "Actions of persons",
            "data_format_version": "3.1.1", "creator": "slowfast_jax", "created": 0,
            "vid_list": views,
        },
        "config": {
            "file": {"loc_prefix": {
                "1": "", "2": "", str(FILE_ADDRESS): f"{folder.resolve().as_uri()}/", "4": "",
            }},
            "ui": {
                "file_content_align": "center", "file_metadata_editor_visible": False,
                "spatial_metadata_editor_visible": True,
                "temporal_segment_metadata_editor_visible": False,
                "spatial_region_label_attribute_id": PERSON_ID, "gtimeline_visible_row_count": "1",
            },
        },
        "attribute": {
            # VIA's own, without which it shows no timeline.
            SEGMENT_ID: _attribute("TEMPORAL-SEGMENTS", OF_A_SEGMENT, SELECT, {}),
            ACTION_ID: _attribute(
                ACTION, IN_A_FRAME, CHECKBOX if actions else TEXT,
                {str(number): action for number, action in enumerate(actions)},
            ),
            PERSON_ID: _attribute(PERSON, IN_A_FRAME, TEXT, {}),
        },
        "file": {
            view: {
                "fid": view, "fname": each.name, "type": VIDEO, "loc": FILE_ADDRESS,
                "src": quote(each.name),
            } for view, each in zip(views, found, strict=True)
        },
        "metadata": dict(
            region for view, each in zip(views, found, strict=True)
            for region in _regions(view, each)
        ),
        "view": {view: {"fid_list": [view]} for view in views},
    }


def _attribute(name: str, of: str, kind: int, options: dict[str, str]) -> dict[str, Any]:
    return {
        "aname": name, "anchor_id": of, "type": kind, "desc": "", "options": options,
        "default_option_id": "",
    }


def _regions(view: str, found: Found) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and content of the regions of a video."""
    width, height = found.info.width, found.info.height
    for number, person in enumerate(found.persons):
        left, top, right, bottom = (
            round(edge * size, 3) for edge, size in
            zip(person.box, (width, height, width, height), strict=True)
        )
        yield f"{view}_{number:06d}", {
            "vid": view, "flg": 0, "z": [person.time],
            "xy": [RECTANGLE, left, top, round(right - left, 3), round(bottom - top, 3)],
            "av": {ACTION_ID: "", PERSON_ID: str(person.number)},
        }
