"""Addresses of weights in docs/model_zoo.md."""

import re

from data_pipelines.prepare.downloads import COMMANDS
from tests.support.paths import ROOT

TEXT = (ROOT / "docs/model_zoo.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w/]+)` \|.*\| ([^|]*) \|$", TEXT, re.MULTILINE)
LINK = re.compile(r"\[weights\]\((https://[^\s)]+\.(?:pkl|pyth|pth|pdparams))\)")


def test_every_published_figure_has_the_address_of_its_weights():
    published = {name: figures for name, figures in ROWS if figures != "none"}
    assert len(published) > 30
    for name, figures in published.items():
        for figure in figures.split("; "):
            assert len(LINK.findall(figure)) == 1, f"{name}: {figure}"
    links = LINK.findall(TEXT)
    assert len(set(links)) == len(links)


def test_addresses_are_those_of_the_download_commands():
    """Of all weights of PySlowFast: printed by `python -m data_pipelines.prepare --downloads`."""
    printed = {
        command.split()[-1] for parts in COMMANDS.values() for what, commands in parts
        if what in ("trained weights", "ImageNet weights to start from") for command in commands
    }
    ours = {link for link in LINK.findall(TEXT) if "fbaipublicfiles" in link}
    assert ours == printed
