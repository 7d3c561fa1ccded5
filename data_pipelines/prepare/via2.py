"""Rewrites projects of VIA 2 as projects of VIA 3."""

from typing import Any

from data_pipelines.paths import PathLike
from data_pipelines.text_files import shown

PICTURES = "_via_img_metadata"
DEFINITIONS = "_via_attributes"
# VIA 2's names of shapes -> the numbers and sizes of VIA 3, for rectangles only.
RECTANGLE = ("x", "y", "width", "height")
NUMBERS = {"rect": 2, "circle": 3, "ellipse": 4, "polygon": 7, "point": 1, "polyline": 6}


def is_via2(content: dict) -> bool:
    """Whether a parsed JSON file is a project of VIA 2, or its export of annotations."""
    return PICTURES in content or bool(content) and all(
        isinstance(each, dict) and {"filename", "regions"} <= each.keys()
        for each in content.values()
    )


def as_via3(path: PathLike, content: dict) -> dict[str, dict[str, Any]]:
    """The parts of a project of VIA 3 with the same pictures and regions.

    Raises:
        ValueError: a part is not as VIA 2 writes it.
    """
    parts: dict[str, dict[str, Any]] = {"file": {}, "view": {}, "attribute": {}, "metadata": {}}
    pictures = content.get(PICTURES, content)
    if not isinstance(pictures, dict):
        raise ValueError(f"{path}: {PICTURES} is {shown(pictures)}; expected pictures by name")
    descriptions = _descriptions(content)
    for number, (key, picture) in enumerate(pictures.items()):
        regions = picture.get("regions") if isinstance(picture, dict) else None
        if isinstance(regions, dict):  # of VIA 1
            regions = list(regions.values())
        if not isinstance(regions, list) or not isinstance(picture.get("filename"), str):
            raise ValueError(
                f"{path}:{shown(key)}: found {shown(picture)}; expected filename and regions"
            )
        place = str(number)
        parts["file"][place] = {"fname": picture["filename"]}
        parts["view"][place] = {"fid_list": [place]}
        for index, region in enumerate(regions):
            parts["metadata"][f"{picture['filename']}, region {index + 1}"] = {
                "vid": place, "z": [],
                **_region(path, key, region, parts["attribute"], descriptions),
            }
    return parts


def _descriptions(content: dict) -> dict[str, dict[str, str]]:
    """The options of each attribute of regions: descriptions by id; {} for texts."""
    defined = content.get(DEFINITIONS)
    of_regions = defined.get("region") if isinstance(defined, dict) else None
    found = {}
    for attribute, definition in (of_regions if isinstance(of_regions, dict) else {}).items():
        options = definition.get("options") if isinstance(definition, dict) else None
        options = options if isinstance(options, dict) else {}
        found[attribute] = {
            number: text if isinstance(text, str) and text.strip() else number
            for number, text in options.items()
        }
    return found


def _region(
    path: PathLike,
    key: str,
    region: Any,
    attributes: dict[str, dict],
    descriptions: dict[str, dict[str, str]],
) -> dict[str, Any]:
    """Shape and actions of a region; adds its attributes and their options to `attributes`."""
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    chosen = region.get("region_attributes") or {} if isinstance(region, dict) else None
    if not isinstance(shape, dict) or not isinstance(chosen, dict):
        raise ValueError(
            f"{path}:{shown(key)}: region {shown(region)}; expected shape_attributes and "
            "region_attributes"
        )
    name = shape.get("name")
    xy = [NUMBERS.get(name, name) if isinstance(name, str) else name]
    if name == "rect":
        xy += [shape.get(each) for each in RECTANGLE]
    values = {}
    for attribute, value in chosen.items():
        if value in (None, ""):
            continue
        known = descriptions.get(attribute, {})
        is_choice = bool(known) or isinstance(value, dict)
        entry = attributes.setdefault(
            attribute, {"aname": attribute, "options": {}, "choice": is_choice}
        )
        if entry["choice"] != is_choice:
            raise ValueError(
                f"{path}:{shown(key)}: attribute {shown(attribute)} is {shown(value)} here, but "
                f"{'a text' if is_choice else 'a choice of options'} in other regions; give it one "
                "type in VIA, and annotate these regions again"
            )
        if not is_choice:
            values[attribute] = value
            continue
        if isinstance(value, dict):  # a checkbox: {option: true}
            picked = [known.get(option, option) for option, on in value.items() if on]
        elif str(value) in known:  # a list or radio buttons
            picked = [known[str(value)]]
        else:
            raise ValueError(
                f"{path}:{shown(key)}: option {shown(value)} of {shown(attribute)}; expected one "
                f"of {', '.join(known)}"
            )
        values[attribute] = ",".join(_numbers_of(picked, entry["options"]))
    return {"xy": xy, "av": values}


def _numbers_of(picked: list[str], options: dict[str, str]) -> list[str]:
    """The numbers of options, which are added to `options` if they are new, in its order."""
    for option in picked:
        if option not in options.values():
            options[str(len(options))] = option
    return [number for number, option in options.items() if option in picked]
