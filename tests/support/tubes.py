"""Action tubes and detections made by rule, in the formats of MultiSports."""

import numpy as np

NAMES = ["aerobic push up", "football shoot", "basketball save", "volleyball serve", "never"]
VIDEOS = {"football/a": 60, "football/b": 45, "volleyball/c": 80, "empty/d": 20}


def scene(seed: int) -> tuple[dict, np.ndarray]:
    """The ground truth of multisports_GT.pkl, and (N, 8) detections.

    Persons walk and are found most of the time, with wrong places, wrong classes and duplicates.
    """
    rng = np.random.default_rng(seed)
    tubes: dict[str, dict[int, list[np.ndarray]]] = {video: {} for video in VIDEOS}
    detections = []
    for index, (video, length) in enumerate(VIDEOS.items()):
        for _ in range(0 if video.startswith("empty") else 6):
            label = int(rng.integers(4))
            first, count = int(rng.integers(1, length - 20)), int(rng.integers(15, 40))
            frames = np.arange(first, min(first + count, length + 1))
            corner, size = rng.uniform(0, 300, 2), rng.uniform(60, 120, 2)
            steps = np.outer(frames - first, rng.uniform(-2, 2, 2))
            boxes = np.concatenate([corner + steps, corner + steps + size], axis=1)
            tube = np.concatenate([frames[:, None], boxes], axis=1).astype(np.float32)
            tubes[video].setdefault(label, []).append(tube)
            quality = rng.uniform(0.5, 1)
            for frame, *box in tube.astype(float).tolist():
                for _ in range(int(rng.integers(0, 3)) + (quality > 0.7)):
                    shift = rng.normal(0, 8 * (1.2 - quality), 4)
                    guess = label if rng.random() < 0.9 else int(rng.integers(4))
                    score = quality * rng.random()
                    detections.append([index, frame, guess, score, *(np.array(box) + shift)])
        for _ in range(30):
            corner = rng.uniform(0, 300, 2)
            frame, guess = int(rng.integers(1, length + 1)), int(rng.integers(5))
            detections.append(
                [index, frame, guess, 0.3 * rng.random(), *corner, *(corner + 50)]
            )
    truth = {
        "labels": NAMES, "test_videos": [list(VIDEOS)], "train_videos": [[]], "nframes": VIDEOS,
        "resolution": dict.fromkeys(VIDEOS, (480, 640)), "gttubes": tubes,
    }
    return truth, np.array(detections)
