"""The tables of docs/model_zoo.md are those of the rows, and the addresses agree everywhere."""

from data_pipelines.prepare.downloads import COMMANDS
from slowfast_jax.config import load_config, recipe_names
from slowfast_jax.models import zoo
from slowfast_jax.published import rows
from slowfast_jax.published.page import COMMAND, documented_costs, updated
from tests.support.paths import ROOT

TEXT = (ROOT / "docs/model_zoo.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date():
    costs = documented_costs(TEXT)
    missing = {name for name in zoo.ZOO if not name.startswith("test/")} - set(costs)
    assert not missing, f"docs/model_zoo.md lacks {missing}: run {COMMAND}"
    assert updated(TEXT, costs) == TEXT, f"docs/model_zoo.md is stale: run {COMMAND}"


def test_addresses_are_those_of_the_download_commands():
    """Those printed by `python -m data_pipelines.prepare --downloads` are of published files."""
    printed = {
        command.split()[-1] for parts in COMMANDS.values() for what, commands in parts
        if "weights" in what for command in commands
    }
    assert printed and printed <= {row.address for row in rows().values()}


def test_addresses_and_figures_are_those_of_the_recipes():
    compared = 0
    for name in recipe_names():
        stated = load_config(name, train=True).get("published", {})
        if not stated.get("weights"):
            continue
        found = [row for row in rows().values() if row.address == stated.weights]
        assert found, f"{name}: {stated.weights}"
        figures = {"top1": "top1_acc", "top5": "top5_acc", "mean_ap": "map"}
        expected = {ours: stated[key] for key, ours in figures.items() if stated.get(key)}
        published = [{key: float(text) for key, text in row.figures.items()} for row in found]
        assert expected in published, name
        compared += 1
    assert compared > 15
