"""Videos stored as image files: paths, pixels, and errors."""

import io

import numpy as np
import pytest
from PIL import Image

from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.transforms.resize import resize_short_side
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from data_pipelines.video.image_files import (
    FrameFiles,
    Pictures,
    frame_files,
    iterate_frames,
    read_image,
    select_frames,
)
from data_pipelines.video.inspection import inspect

NOISE = np.random.default_rng(0).integers(0, 256, (12, 30, 40, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """12 frames of noise: img_00001.png and so on."""
    for number, picture in enumerate(NOISE, 1):
        Image.fromarray(picture).save(tmp_path / f"img_{number:05d}.png")
    return tmp_path


@pytest.fixture
def files(folder):
    return FrameFiles("noise", 12, f"{folder}/img_{{:05d}}.png", first=1)


@pytest.mark.parametrize("paths", [
    ["7/7_000001.jpg", "7/7_000002.jpg", "7/7_000003.jpg"],
    ["x/98.png", "x/99.png", "x/100.png"],
    ["a1", "a2"],
    ["img{0}_00.jpg"],
])
def test_numbered_files_are_stored_as_one_template(paths):
    files = frame_files("v", paths, "/data/{x}")
    assert files.paths == () and files.count == len(paths)
    assert [files.path(i) for i in range(len(paths))] == [f"/data/{{x}}/{path}" for path in paths]
    assert str(files) == "v"


@pytest.mark.parametrize("paths", [
    ["a.jpg", "b.jpg"], ["1.jpg", "3.jpg"], ["01.jpg", "2.jpg"], ["9.jpg", "10.png"],
])
def test_other_files_are_stored_as_paths(paths):
    files = frame_files("v", paths, "p")
    assert files.paths == tuple(f"p/{path}" for path in paths)
    assert files.path(1) == f"p/{paths[1]}"


def test_absolute_paths_get_no_prefix():
    for paths in (["/x/1.jpg", "/x/2.jpg"], ["/x/b.jpg", "/x/a.jpg"]):
        files = frame_files("v", paths, "p")
        assert [files.path(0), files.path(1)] == paths


def test_pixels_are_those_stored(folder):
    np.testing.assert_array_equal(read_image(folder / "img_00003.png"), NOISE[2])
    gray = NOISE[0, :, :, 0]
    Image.fromarray(gray).save(folder / "gray.png")
    np.testing.assert_array_equal(read_image(folder / "gray.png"), np.stack([gray] * 3, -1))
    alpha = np.concatenate([NOISE[0], NOISE[1, :, :, :1]], -1)
    Image.fromarray(alpha).save(folder / "alpha.png")
    np.testing.assert_array_equal(read_image(folder / "alpha.png"), NOISE[0])


def test_jpeg_equals_opencv(tmp_path):
    cv2 = pytest.importorskip("cv2")
    smooth = resize_short_side(NOISE[:1, :10, :14], 120)[0]
    for keywords in ({"quality": 95}, {"quality": 60}, {"subsampling": 0}, {"progressive": True}):
        Image.fromarray(smooth).save(tmp_path / "a.jpg", **keywords)
        expected = cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]
        np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), expected)


def test_selection(files):
    asked = []

    def choose(info):
        asked.append(info.frames)
        return [7, 2, 2, 11]

    info, found, pictures = select_frames(files, choose, short_side=20)
    assert asked == [12] and found.tolist() == [2, 7, 11]
    assert (info.frames, info.width, info.height, info.fps) == (12, 40, 30, 0)
    np.testing.assert_array_equal(pictures, resize_short_side(NOISE[[2, 7, 11]], 20))


def test_views_equal_those_of_the_encoded_video(files, tmp_path):
    write_video(tmp_path / "v.mkv", NOISE, fps=30, codec="ffv1", pixel_format="bgr0")
    for offset in (False, True):
        protocol = dict(
            num_frames=3, sampling_rate=2, target_fps=30, clips=4, crops=3, test_crop=20,
            offset_sampling=offset,
        )
        for ours, expected in zip(
            iterate_views(files, **protocol), iterate_views(tmp_path / "v.mkv", **protocol),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, expected)


def broken(files):
    return pytest.raises(VideoError, match=f"^{files.name}: ")


def test_only_chosen_frames_must_exist(files, folder):
    (folder / "img_00005.png").unlink()
    assert len(select_frames(files, lambda info: [3, 5])[2]) == 2
    with broken(files) as error:
        select_frames(files, lambda info: [3, 4])
    assert error.value.reason == f"frame 5 of 12, {folder}/img_00005.png: no such file"


def test_a_missing_folder_is_named(folder):
    image = f"{folder}/gone/1.jpg"
    with pytest.raises(VideoError) as error:
        select_frames(FrameFiles(image, 1, paths=(image,)), lambda info: [0])
    assert error.value.reason == (
        f"{image}: there is no folder {folder}/gone; check data.path_prefix"
    )


def test_broken_files_are_refused(files, folder):
    buffer = io.BytesIO()
    Image.fromarray(NOISE[0]).save(buffer, "JPEG")
    for content in (buffer.getvalue()[:700], (folder / "img_00001.png").read_bytes()[:900],
                    b"", b"no image at all", (folder / "img_00001.png").read_bytes()[:20]):
        (folder / "img_00001.png").write_bytes(content)
        with broken(files) as error:
            select_frames(files, lambda info: [0])
        assert f"{folder}/img_00001.png: cannot be read as an image" in error.value.reason


def test_frames_of_two_sizes_are_refused(files, folder):
    Image.fromarray(NOISE[0, :20]).save(folder / "img_00009.png")
    with broken(files) as error:
        select_frames(files, lambda info: [0, 8])
    assert "changes from 40x30 to 40x20 at" in error.value.reason
    assert "img_00009.png" in error.value.reason


@pytest.mark.parametrize("size", [(8200, 8200), (51, 1)])
def test_pictures_that_are_too_large_or_too_narrow_are_refused(files, folder, size):
    Image.new("1", size).save(folder / "img_00001.png")
    with broken(files) as error:
        select_frames(files, lambda info: [0])
    text = f"img_00001.png: the picture is {size[0]}x{size[1]}; expected at most 67 million pixels"
    assert text in error.value.reason


def test_any_exception_of_pillow_is_reported(files, monkeypatch):
    def fail(path):
        raise RuntimeError("no planes")

    monkeypatch.setattr(Image, "open", fail)
    with broken(files) as error:
        select_frames(files, lambda info: [0])
    assert "cannot be read as an image (no planes)" in error.value.reason


@pytest.mark.parametrize("numbers", [
    range(5), range(1, 6), range(100, 105), range(3, 8), (0, 2, 3, 7, 8), (1, 2, 4, 5, 6),
    (98, 99, 100, 101, 102),
])
@pytest.mark.parametrize("template", ["img_{:05d}.jpg", "{}.jpg", "v1_{:02}_x9.jpg"])
def test_the_first_number_of_a_folder_is_found(tmp_path, numbers, template):
    for order, number in enumerate(numbers):
        Image.new("L", (8, 6), 40 * order).save(tmp_path / template.format(number), quality=95)
    (tmp_path / "thumb_00000.jpg").write_bytes(b"")
    files = FrameFiles("v", 5, f"{tmp_path}/{template}", first=None)
    _, _, pictures = select_frames(files, lambda info: range(5))
    assert [round(p.mean() / 40) for p in pictures] == [0, 1, 2, 3, 4]
    assert files.path(4) == f"{tmp_path}/{template.format(numbers[4])}"
    part = FrameFiles("v", 3, f"{tmp_path}/{template}", first=None, offset=2)
    _, _, pictures = select_frames(part, lambda info: range(3))
    assert [round(p.mean() / 40) for p in pictures] == [2, 3, 4]


def test_a_missing_file_of_a_folder_is_named(tmp_path):
    for number in (0, 1, 3, 4):
        Image.new("L", (8, 6)).save(tmp_path / f"{number}.png")
    files = FrameFiles("v", 5, f"{tmp_path}/{{}}.png", first=None)
    with pytest.raises(VideoError, match="frame 3 of 5, .*/2.png: no such file"):
        select_frames(files, lambda info: [2])
    with pytest.raises(VideoError, match="there is no folder"):
        select_frames(FrameFiles("v", 5, f"{tmp_path}/x/{{}}.png", first=None), lambda info: [2])


def test_a_record_or_folder_is_opened_once_to_be_played(tmp_path):
    class Counted(Pictures):
        opened = 0

        def open(self):
            self.opened += 1
            return 100, lambda index: np.full((4, 4, 3), index, np.uint8)

        def place(self, index):
            return str(index)

    files = Counted()
    assert [number for number, _ in iterate_frames(files, 10, 95)] == list(range(10, 95))
    assert files.opened == 1


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_gray_is_scaled_to_8_bits(tmp_path, suffix):
    deep = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    picture = read_image(tmp_path / f"a.{suffix}")
    assert (picture == (deep >> 8)[..., None]).all()


def test_floating_point_pictures_are_refused(tmp_path):
    Image.fromarray(np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)).save(tmp_path / "1.tif")
    files = frame_files("a", ["1.tif"], tmp_path)
    with pytest.raises(VideoError, match=r"1\.tif: holds floating-point numbers.*8 or 16 bits"):
        select_frames(files, lambda info: [0])
    (problem,) = inspect(files).problems
    assert problem.kind == "broken" and "floating-point" in problem.text
