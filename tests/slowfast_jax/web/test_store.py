import os

import pytest

from slowfast_jax.web.store import Full, Limits, Store


@pytest.fixture
def store():
    store = Store(Limits(stored=2, minutes=10))
    yield store
    store.close()


def files(store):
    return [os.path.join(place, name) for place, _, names in os.walk(store.folder)
            for name in names]


def test_files_are_known_by_token_and_name_only(store):
    token = store.new_results("tab")
    entry = store.get(token)
    (entry.folder / "film.mp4").write_bytes(b"film")
    assert store.file(token, "film.mp4") is None  # not offered yet
    entry.names.add("film.mp4")
    assert store.file(token, "film.mp4").read_bytes() == b"film"
    for other, name in ((token, "../film.mp4"), ("..", "film.mp4"), (token[:-1], "film.mp4")):
        assert store.file(other, name) is None


def test_uploads_are_limited(store):
    first = store.new_upload()
    store.new_upload()
    with pytest.raises(Full):
        store.new_upload()
    store.new_results("tab")  # results are another matter
    store.remove(first)
    store.new_upload()


def test_a_tab_takes_its_files_along(store):
    upload, results, other = store.new_upload(), store.new_results("tab"), store.new_results("b")
    store.get(upload).session = "tab"
    for token in (upload, results, other):
        (store.get(token).folder / "a").write_bytes(b"a")
    entry = store.get(results)
    store.leave("tab")
    assert entry.gone.is_set() and not entry.folder.exists()
    assert store.get(upload) is None and store.get(results) is None
    assert files(store) == [str(store.get(other).folder / "a")]


def test_new_results_replace_the_earlier_ones_of_a_tab(store):
    upload, first = store.new_upload(), store.new_results("tab")
    store.get(upload).session = "tab"
    second = store.new_results("tab")
    assert store.get(first) is None and store.get(second) and store.get(upload)


def test_old_files_are_removed():
    now = 0.0
    store = Store(Limits(minutes=10), clock=lambda: now)
    old = store.new_upload()
    now = 500.0
    new = store.new_upload()
    now = 700.0
    store.sweep()
    assert store.get(old) is None and store.get(new)
    store.close()
    assert not store.folder.exists()


def test_the_folder_is_private(store):
    assert store.folder.stat().st_mode & 0o077 == 0
