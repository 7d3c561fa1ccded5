"""docs/tutorial.ipynb runs from top to bottom, without a network connection, and is small."""

import os

import pytest

from tests.support.paths import ROOT

NOTEBOOK = ROOT / "docs/tutorial.ipynb"
LARGEST = 200_000  # bytes; whoever runs it and saves it should leave out the outputs


def test_the_notebook_is_small_and_was_not_saved_with_outputs():
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < LARGEST
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, 4)
    nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3",
        resources={"metadata": {"path": str(ROOT / "docs")}},
    ).execute()
    shown = "".join(
        output["data"].get("text/html", "")
        for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output
    )
    for part in ("data:video/mp4;base64,", "<table>", "<details>", "person 1: ", "similarity to"):
        assert part in shown
