"""The videos that the page offers: those of a folder, or generated ones."""

from pathlib import Path

from data_pipelines.mini import ava_scenes, datasets
from data_pipelines.video.encoding import write_video
from slowfast_jax.inference.inputs import FRAME_RATE, find_inputs

MOST = 24  # videos of a folder
FPS, SECONDS, HEIGHT, WIDTH = 15, 8, 192, 256  # of generated videos


def find_samples(folder: str) -> dict[str, Path]:
    """Name -> file, for the first MOST videos of a folder and its subfolders.

    Raises:
      ValueError: there is no such folder, or it has no videos.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ValueError(f"--samples {folder}: no such folder")
    paths = [Path(path) for path in find_inputs([folder], FRAME_RATE).videos]
    files = [path.resolve() for path in paths if path.is_file()][:MOST]
    if not files:
        raise ValueError(f"--samples {folder}: there are no video files in this folder")
    names = [file.stem for file in files]
    if len(set(names)) < len(names):  # folders tell files of one name apart
        names = [str(file.relative_to(place.resolve())) for file in files]
    return dict(zip(names, files, strict=True))


def generate_samples(folder: Path) -> dict[str, Path]:
    """Writes a video of moving figures and one of a moving shape; returns name -> file."""
    folder.mkdir()
    size = {"height": HEIGHT, "width": WIDTH}
    ((scene, random),) = ava_scenes.plan_scenes(1, [0, 0], seconds=SECONDS, fps=FPS, **size)
    shape = datasets.moving_shape(2, random, frames=SECONDS * FPS, **size)
    films = {"figures": scene.pictures(random), "shape": shape}
    for name, frames in films.items():
        write_video(folder / f"{name}.mp4", frames, fps=FPS, options=datasets.REPEATABLE)
    return {f"generated {name}": folder / f"{name}.mp4" for name in films}
