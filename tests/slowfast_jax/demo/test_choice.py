"""Which labels are shown: thresholds of common and rare classes, and a filter."""

import numpy as np
import pytest

from data_pipelines.labels import class_names
from slowfast_jax.demo.choice import COMMON_IN_AVA, choose

NAMES = ["walk", "swim", "sit", "hit"]
SCORES = np.array([0.6, 0.4, 0.8, 0.005], np.float32)


@pytest.mark.parametrize(("options", "shown"), [
    ({}, [2, 1]),  # walk and sit are common in AVA
    ({"threshold": 0.5}, [2, 0, 1]),
    ({"threshold": 0.5, "rare_threshold": 0.5}, [2, 0]),
    ({"threshold": 0.2}, [2, 0, 1]),
    ({"common": ["swim"]}, [2, 0]),
    ({"only": ["swim", "hit"]}, [1]),
    ({"top_k": 1}, [2]),
])
def test_several_labels_by_threshold(options, shown):
    found = choose(NAMES, several=True, **options).of(SCORES)
    assert [index for index, _ in found] == shown
    assert [score for _, score in found] == pytest.approx([SCORES[index] for index in shown])


def test_one_label_shows_the_best_ones():
    assert [index for index, _ in choose(NAMES, several=False).of(SCORES)] == [2, 0, 1]
    assert [i for i, _ in choose(NAMES, several=False, threshold=0.0, top_k=4).of(SCORES)][-1] == 3


def test_without_common_classes_one_threshold_holds():
    choice = choose(["a", "b"], several=True)
    assert choice.least.tolist() == pytest.approx([0.7, 0.7])


def test_the_common_classes_are_classes_of_ava():
    assert {*COMMON_IN_AVA} <= {*class_names("ava")}


def test_unknown_names_are_refused_with_the_closest():
    with pytest.raises(ValueError, match=r"no class 'xyz'.*; .*'wlk'.*perhaps 'walk'"):
        choose(NAMES, several=True, only=["wlk"], common=["xyz"])
