"""The page in a real browser, with a real network and a real video.

Pictures of it are kept in build/pages.
"""

import base64
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.support.browser import needs_chromium, open_browser, requested
from tests.support.paths import REAL, ROOT, needs_real

pytest.importorskip("gradio")
pytest.importorskip("selenium")
pytestmark = [pytest.mark.slow, needs_real, needs_chromium]

PICTURES = ROOT / "build/pages"
VIDEO = REAL / "videos/snu_archery.mp4"
WAIT = 300  # seconds


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """(address, temporary folder) of the page; when it ends, the folder is empty."""
    folder = tmp_path_factory.mktemp("page")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "slowfast_jax.web", "--config", "kinetics/x3d_xs", "--weights",
         REAL / "weights/X3D_XS_k400_pyslowfast.pyth", "--samples", REAL / "videos",
         "--port", str(port), "--max-mb", "10"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)},
    )
    assert process.stderr.readline() == "loading the networks\n"
    line = process.stderr.readline()
    assert "the page is on" in line, line + process.stderr.read()
    yield f"http://127.0.0.1:{port}", folder
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert process.stderr.read() == "ended; the files of the page are removed\n"
    assert not files(folder)


def files(folder):
    # Folders may vanish meanwhile, which os.walk passes over.
    return [name for _, _, names in os.walk(folder) for name in names]


def wait_for(driver, selector, text=""):
    """The first element of a selector, once it has the text."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        for element in driver.find_elements("css selector", selector):
            if text in element.text:
                return element
        time.sleep(0.1)
    raise AssertionError(f"no {selector} with {text!r} on the page:\n{driver.page_source[-3000:]}")


def visit(driver, address):
    driver.get(address)
    return wait_for(driver, ".picker input")


def press(driver, text):
    next(b for b in driver.find_elements("css selector", "button") if b.text == text).click()


def keep_picture(driver, name):
    PICTURES.mkdir(parents=True, exist_ok=True)
    found = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    (PICTURES / f"{name}.png").write_bytes(base64.b64decode(found["data"]))


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_an_upload_is_recognized(page, tmp_path, width, dark):
    address, folder = page
    with open_browser(tmp_path / "profile", width=width, dark=dark) as driver:
        picker = visit(driver, address)
        driver.find_element("css selector", "input[type=radio]").click()
        picker.send_keys(str(VIDEO))
        wait_for(driver, ".picker .status", "snu_archery.mp4: 10.0 s, 320x240")
        wait_for(driver, "fieldset:not(:has(:checked))")  # the upload takes the sample's place
        press(driver, "Recognize")
        assert wait_for(driver, ".answer h2", "average").text.startswith("archery")
        film = driver.find_element("css selector", ".answer video")
        driver.execute_async_script(
            "const film = arguments[0], done = arguments[1];"
            "if (film.readyState > 1) done(); else film.oncanplay = done;", film,
        )
        assert film.get_property("duration") == pytest.approx(10, abs=0.2)
        row = driver.find_element("css selector", ".answer summary")
        assert "archery" in row.text
        row.send_keys("\ue007")  # Enter, as a user of the keyboard opens it
        assert wait_for(driver, ".answer details[open] svg", "0.5").is_displayed()
        part = driver.find_elements("css selector", ".answer .track i")[2]
        driver.execute_script("arguments[0].click()", part)
        assert film.get_property("currentTime") == pytest.approx(
            float(part.get_attribute("data-seconds")), abs=0.1
        )
        keep_picture(driver, f"archery_{width}_{'dark' if dark else 'light'}")
        wide = driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        lightness = driver.execute_script(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert (sum(lightness[:3]) < 150) == dark
        assert all(other.startswith(address) for other in requested(driver))
        errors = [e["message"] for e in driver.get_log("browser") if e["level"] == "SEVERE"]
        assert not errors
        assert len(files(folder)) == 3  # the upload, the film and the table
    deadline = time.monotonic() + 30
    while files(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not files(folder)


def test_the_keyboard_is_enough(page, tmp_path):
    from selenium.webdriver import ActionChains, Keys

    with open_browser(tmp_path / "profile") as driver:
        visit(driver, page[0])
        seen = []
        while len(seen) < 20 and (not seen or seen[-1] != "Recognize"):
            ActionChains(driver).send_keys(Keys.TAB).perform()
            element = driver.switch_to.active_element
            seen.append(element.text or element.get_attribute("type"))
            if seen.count("radio") == 1:
                ActionChains(driver).send_keys(Keys.SPACE).perform()
        assert seen[:2] == ["file", "radio"] and seen[-1] == "Recognize"
        ActionChains(driver).send_keys(Keys.ENTER).perform()
        wait_for(driver, ".answer h2", "average")


def test_what_is_no_video_is_refused_in_words(page, tmp_path):
    (tmp_path / "text.mp4").write_text("this is a text")
    (tmp_path / "large.mp4").write_bytes(bytes(10_000_001))
    with open_browser(tmp_path / "profile") as driver:
        picker = visit(driver, page[0])
        picker.send_keys(str(tmp_path / "text.mp4"))
        wait_for(driver, ".picker .failed", "text.mp4: This is not a video that can be read")
        picker.send_keys(str(tmp_path / "large.mp4"))
        wait_for(driver, ".picker .failed", "large.mp4 has 11 MB, more than 10.")
        press(driver, "Recognize")
        wait_for(driver, ".toast-body, .toast-wrap", "Choose a video first")
        keep_picture(driver, "refused")
    assert not files(page[1])


def test_a_tab_that_is_closed_midway(page, tmp_path):
    with open_browser(tmp_path / "profile") as driver:
        visit(driver, page[0]).send_keys(str(REAL / "videos/mmaction2_demo_skeleton.mp4"))
        wait_for(driver, ".picker .status", "1920x1080")
        press(driver, "Recognize")
        wait_for(driver, ".answer", "seconds")  # the progress
        assert files(page[1])
    deadline = time.monotonic() + 30
    while files(page[1]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not files(page[1])
