"""Headless Chromium, if it is installed."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
)
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


@contextmanager
def open_browser(profile, *, width: int = 1440, dark: bool = False) -> Iterator:
    """A driver of a new browser whose window is `width` pixels wide.

    Args:
      profile: an empty folder.
      dark: the user prefers dark pages.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500,
        })
        yield driver
    finally:
        driver.quit()


def requested(driver) -> set[str]:
    """Addresses that the browser has asked for since the last call, those inside it left out."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    addresses = {
        message["params"]["request"]["url"] for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    return {address for address in addresses if address.startswith(("http", "ws"))}
