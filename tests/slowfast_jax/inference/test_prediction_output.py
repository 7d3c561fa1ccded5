"""Files of predictions: complete after each record, and refused early where they cannot be made."""

import json

import pytest

from slowfast_jax.inference.prediction_output import JsonFile, why_not_writable

RECORDS = [{"video": "a.mp4", "predictions": []}, {"video": "b\u00fc.mp4", "error": "broken"}, {}]


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.jsonl", "a.NDJSON"])
def test_files_are_complete_after_each_record(tmp_path, name):
    path = tmp_path / name
    path.write_text("earlier results " * 99)
    file = JsonFile(path)
    assert path.read_text().startswith("earlier")  # until there is something to write

    def content():
        text = path.read_text(encoding="utf-8")
        return list(map(json.loads, text.splitlines())) if "." + name[2:].lower() in (
            ".jsonl", ".ndjson") else json.loads(text)

    for count, record in enumerate(RECORDS, 1):
        file.write(record)
        assert content() == RECORDS[:count] and file.count == count
    file.close()
    assert content() == RECORDS


@pytest.mark.parametrize(("name", "text"), [("a.json", "[]\n"), ("a.jsonl", "")])
def test_files_without_records(tmp_path, name, text):
    JsonFile(tmp_path / name).close()
    assert (tmp_path / name).read_text() == text


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    assert not why_not_writable(tmp_path / "new.json")
    assert not why_not_writable(tmp_path / "file")
    assert not why_not_writable(tmp_path / "new/folder", folder=True)
    assert "is a folder" in why_not_writable(tmp_path)
    assert "there is no folder" in why_not_writable(tmp_path / "gone/a.json")
    assert "is a file; expected a folder" in why_not_writable(tmp_path / "file/x", folder=True)
    assert "/proc cannot be written" in why_not_writable("/proc/x/y", folder=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
