import json
import pickle

import numpy as np
import pytest

from slowfast_jax.metrics import multisports
from slowfast_jax.metrics.tube_linking import link
from slowfast_jax.metrics.tube_map import cli, evaluate, evaluate_files
from tests.support.paths import ROOT
from tests.support.tubes import scene

# What MMAction2 1.2.0 gives for each "seed,min_frames": frameAP, link_tubes (after the correction
# that tube_linking.py describes), videoAP and videoAP_all; and of the best tube its video, first
# and last frame, score and sum of coordinates.
RECORDED = json.loads((ROOT / "tests/fixtures/multisports_map.json").read_text(encoding="utf-8"))
TRUTH = """video,time,x1,y1,x2,y2,action,person
a.mp4,1,0.1,0.1,0.4,0.9,wave,ann
a.mp4,2,0.1,0.1,0.4,0.9,wave,ann
a.mp4,3,0.1,0.1,0.4,0.9,wave,ann
a.mp4,1,0.5,0.1,0.9,0.9,sit,bob
a.mp4,2,0.5,0.1,0.9,0.9,sit,bob
a.mp4,3,0.5,0.1,0.9,0.9,,bob
"""
FOUND = """video,time,x1,y1,x2,y2,action,person,score
films/a.mp4,1.001,0.1,0.1,0.4,0.9,wave,1,0.9
films/a.mp4,2.001,0.1,0.1,0.4,0.9,wave,1,0.8
films/a.mp4,3.001,0.1,0.1,0.4,0.9,wave,1,0.7
films/a.mp4,1.001,0.5,0.1,0.9,0.9,sit,2,0.6
films/a.mp4,1.501,0.5,0.1,0.9,0.9,sit,2,0.6
films/a.mp4,3.001,0.5,0.1,0.9,0.9,,2,
"""


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_bytes(pickle.dumps(content))
        return str(path)

    return write


@pytest.mark.parametrize("name", RECORDED)
def test_equal_to_mmaction2(write, name):
    seed, min_frames = map(int, name.split(","))
    content, rows = scene(seed)
    truth = multisports.read_truth(write("gt.pkl", content))
    table, _ = multisports.read_detections(write("d.pkl", rows), truth)
    found = link(table, min_frames=min_frames)
    result = evaluate(table, found, truth.tubes, multisports.evaluated(truth.names))
    recorded = RECORDED[name]
    assert result["metrics"] == pytest.approx(recorded["metrics"], abs=1e-6)
    assert {str(k): len(v) for k, v in found.items()} == recorded["tubes"]
    best = max((tube for tubes in found.values() for tube in tubes), key=lambda tube: tube.score)
    ours = [best.video, best.first, best.last, best.score, float(best.boxes.sum())]
    assert ours == [*recorded["best"][:3], *map(pytest.approx, recorded["best"][3:])]


def test_tubes_of_a_pickle_are_not_linked_again(write):
    content, rows = scene(2)
    truth = multisports.read_truth(write("gt.pkl", content))
    tubes = {
        label: [
            (tube.video, 0.5, np.insert(tube.boxes, 0, np.arange(tube.first, tube.last + 1), 1))
            for tube in of_class
        ] for label, of_class in truth.tubes.items()
    }
    tubes = {
        label: [(video, score, np.insert(array, 5, 0.5, 1)) for video, score, array in of_class]
        for label, of_class in tubes.items()
    }
    files = write("d.pkl", rows), write("gt.pkl", content)
    found = write("v.pkl", tubes)
    with pytest.raises(ValueError, match="v.pkl: tubes are taken as they are"):
        evaluate_files(*files, tubes_file=found, min_frames=4)
    linked = evaluate_files(*files)["metrics"]
    assert linked == pytest.approx(RECORDED["2,15"]["metrics"], abs=1e-6)
    result = evaluate_files(*files, tubes_file=found)
    assert result["metrics"]["v_map@0.50:0.95"] == 1
    assert result["metrics"]["f_map@0.5"] == pytest.approx(
        RECORDED["2,15"]["metrics"]["f_map@0.5"], abs=1e-6
    )


def test_perfect_tubes_have_a_map_of_1(write):
    content, _ = scene(1)
    rows = [
        [list(content["nframes"]).index(video), row[0], label, 0.5 + label / 10 + place / 100,
         *row[1:]]
        for video, classes in content["gttubes"].items() for label, tubes in classes.items()
        for place, tube in enumerate(tubes) for row in tube.tolist()
    ]
    result = evaluate_files(write("d.pkl", np.array(rows)), write("gt.pkl", content), min_frames=1)
    assert result["metrics"]["f_map@0.5"] == 1
    assert result["metrics"]["v_map@0.2"] > 0.9  # two persons may cross, and exchange their tubes


def test_persons_of_tables_are_tubes(write):
    result = evaluate_files(write("people.csv", FOUND), write("test.csv", TRUTH))
    assert [row["name"] for row in result["classes"]] == ["sit", "wave"]
    sit, wave = result["classes"]
    assert wave == {"id": 1, "name": "wave", "num_tubes": 1, "num_boxes": 3,
                    "f_ap@0.5": 1, "v_ap@0.2": 1, "v_ap@0.5": 1}
    # One of two boxes is found, and its tube shares no time with the true one.
    assert (sit["num_boxes"], sit["f_ap@0.5"], sit["v_ap@0.2"]) == (2, 0.5, 0)
    assert result["metrics"]["v_map@0.50:0.95"] == pytest.approx(0.5)
    assert result["warnings"] == ["1 of 5 detected boxes left out: the ground truth does not have "
                                  "their videos or times"]


def test_persons_are_not_linked(write):
    """A person who leaps is one tube, but boxes that do not overlap are several."""
    boxes = ["0.1,0.1,0.3,0.9", "0.4,0.1,0.6,0.9", "0.7,0.1,0.9,0.9"]
    rows = [f"a,{time},{box},run" for time, box in enumerate(boxes)]
    truth = "\n".join([TRUTH.splitlines()[0], *(f"{row},ann" for row in rows)])
    found = "\n".join([FOUND.splitlines()[0], *(f"{row},1,0.9" for row in rows)])
    files = write("people.csv", found), write("test.csv", truth)
    assert evaluate_files(*files)["classes"][0]["v_ap@0.5"] == 1
    assert evaluate_files(*files, min_frames=3)["classes"][0]["v_ap@0.5"] == 1
    assert evaluate_files(*files, min_frames=4)["classes"][0]["v_ap@0.5"] == 0
    files = write("people.csv", _without_persons(found)), files[1]
    assert evaluate_files(*files)["classes"][0]["v_ap@0.5"] == 0


def test_boxes_side_by_side_do_not_lower_their_scores(write):
    def rows(x, *cells):
        box = f"{x},0.1,{x + 0.1:g},0.9"
        return [f"a,{time},{box},{','.join(('run', *cells))}" for time in (0, 1, 2)]

    truth = "\n".join([TRUTH.splitlines()[0], *rows(0.1, "ann"), *rows(0.25, "bob")])
    found = [*rows(0.1, "", "0.9"), *rows(0.25, "", "0.9"), *rows(0.7, "", "0.5")]
    found = "\n".join([FOUND.splitlines()[0], *found])
    result = evaluate_files(write("people.csv", found), write("test.csv", truth))
    assert result["classes"][0]["v_ap@0.5"] == 1  # the wrong tube comes last


def _without_persons(table):
    rows = [line.split(",") for line in table.splitlines()]
    return "\n".join(",".join(row[:7] + row[8:]) for row in rows)


def test_boxes_without_persons_are_linked(write):
    without = _without_persons(FOUND)
    result = evaluate_files(write("people.csv", without), write("test.csv", TRUTH))
    assert result["classes"][1]["v_ap@0.5"] == 1
    longer = evaluate_files(write("people.csv", without), write("test.csv", TRUTH), min_frames=4)
    assert longer["classes"][1]["v_ap@0.5"] == 0


def test_the_command(write, tmp_path, capsys):
    found, truth = write("people.csv", FOUND), write("test.csv", TRUTH)
    assert cli([found, truth, "--json", str(tmp_path / "out.json")]) == 0
    out, err = capsys.readouterr()
    assert "v_map@0.50:0.95  0.5000" in out and "warning: 1 of 5 detected boxes" in err
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["classes"]


@pytest.mark.parametrize("found, truth, reason", [
    ("missing.csv", TRUTH, "missing.csv"),
    (FOUND, TRUTH.replace(",person", "").replace(",ann", "").replace(",bob", ""), "no person"),
    ("a.mp4,0001,0.1,0.1,0.5,0.5,2,0.5\n", TRUTH, "has numbers for actions"),
    (FOUND, "video,time,x1,y1,x2,y2,action,person\na.mp4,1,0.1,0.1,0.4,0.9,,ann\n",
     "no tube of an evaluated class"),
    (scene(0)[1], TRUTH, "expected two .pkl files"),
])
def test_what_cannot_be_evaluated(write, capsys, found, truth, reason):
    name = "d.csv" if isinstance(found, str) else "d.pkl"
    path = found if isinstance(found, str) and found.startswith("missing") else write(name, found)
    assert cli([path, write("test.csv", truth)]) == 2
    assert reason in capsys.readouterr().err
