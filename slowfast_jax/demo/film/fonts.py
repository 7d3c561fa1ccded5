"""The font of labels and captions.

Pillow's own font has Latin letters. For names of classes in other scripts, a font of the system is
taken that has their characters.
"""

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont, features

from data_pipelines.text_files import counted

SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
# A font draws the same sign for all characters that it lacks, and so for this one, which all lack.
NO_CHARACTER = "\U0010ffff"
PROBE_SIZE = 24  # pixels, for comparing characters with that sign
# Words in the names of fonts that are harder to read on a picture, or have signs for everything.
WORSE = (
    "lastresort", "emoji", "symbol", "mono", "serif", "bold", "black", "heavy", "italic", "oblique",
    "light", "thin", "condensed", "medium",
)
SHAPED = ("R", "AL")  # bidirectional classes of scripts that are written from right to left


class FontError(ValueError):
    """A font file that cannot be used."""


class Face(NamedTuple):
    """A font of any size. path: its file; "" for Pillow's own. index: of the font in the file."""

    path: str = ""
    index: int = 0

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        """The font with a size in pixels."""
        return _load(self, size)


OWN = Face()


def open_face(path: str | os.PathLike) -> Face:
    """The first font of a file.

    Raises:
      FontError: it is not a font.
    """
    face = Face(os.fspath(path))
    try:
        face.font(PROBE_SIZE)
    except OSError as error:
        raise FontError(
            f"{face.path} is not a font ({error}); expected a TrueType or OpenType file"
        ) from error
    return face


@lru_cache(maxsize=8)
def best_face(texts: tuple[str, ...]) -> Face:
    """Pillow's own font, or the font of the system that has most of the characters in texts."""
    lacking = missing(OWN, texts)
    if not lacking:
        return OWN
    best, fewest = OWN, len(lacking)
    for face in _installed():
        found = missing(face, (lacking[:1],))
        if found and fewest < len(lacking):
            continue  # another one has this character at least
        if (count := len(missing(face, texts, fewest))) < fewest:
            best, fewest = face, count
        if not fewest:
            break
    return best


def missing(face: Face, texts: Iterable[str], most: int = sys.maxunicode) -> str:
    """The characters in texts that a font lacks, in order, each once; `most` at most.

    A file that is not a font lacks all.
    """
    characters = [
        character for character in dict.fromkeys("".join(texts)) if _is_visible(character)
    ]
    try:
        font = face.font(PROBE_SIZE)
        sign = _drawn(font, NO_CHARACTER)
        found = []
        for character in characters:
            if _drawn(font, character) == sign:
                found.append(character)
                if len(found) == most:
                    break
        return "".join(found)
    except OSError:
        return "".join(characters[:most])


def warnings_of(names: Sequence[str], face: Face | None) -> list[str]:
    """What cannot be drawn of class names, in sentences. face: None for `best_face`."""
    warnings = []
    if characters := missing(face or best_face(tuple(names)), names):
        shown = " ".join(characters[:10]) + (" ..." if len(characters) > 10 else "")
        where = f"{face.path} lacks them" if face else "no font of this system has them"
        warnings.append(
            f"{counted(len(characters), 'character')} of the class names, {shown}, cannot be "
            f"drawn, because {where}; pass a font that has them with --font"
        )
    if is_shaped_wrong(names):
        warnings.append(
            "letters of class names that are written from right to left are not joined; install "
            "the library FriBiDi (package libfribidi0)"
        )
    return warnings


def is_shaped_wrong(texts: Iterable[str]) -> bool:
    """Whether texts have letters from right to left, which Pillow joins only with FriBiDi."""
    return not features.check_feature("raqm") and any(
        unicodedata.bidirectional(character) in SHAPED for character in "".join(texts)
    )


def _is_visible(character: str) -> bool:
    """Whether something is seen of a character; not of spaces and controls."""
    return unicodedata.category(character)[0] not in "ZC" and not "\ufe00" <= character <= "\ufe0f"


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


def _installed() -> Iterator[Face]:
    """The fonts of the system, the most legible ones first."""
    files = {
        os.path.join(place, name) for folder in _folders() for place, _, names in os.walk(folder)
        for name in names if name.lower().endswith(SUFFIXES)
    }
    ranked = sorted(files, key=lambda file: (_rank(file), file))
    yield from map(Face, ranked)


def _rank(file: str) -> int:
    name = Path(file).stem.lower().replace("sansserif", "sans")
    return sum(word in name for word in WORSE) + ("sans" not in name)


def _folders() -> list[Path]:
    """Where systems keep fonts."""
    home = Path.home()
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home), "Microsoft/Windows/Fonts")
        return [Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts"), local]
    return [
        Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts",
        home / ".fonts",
    ]


@lru_cache(maxsize=64)
def _load(face: Face, size: int) -> ImageFont.FreeTypeFont:
    if not face.path:
        return ImageFont.load_default(size)
    return ImageFont.truetype(face.path, size, face.index)
