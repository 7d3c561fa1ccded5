"""Scenes of ava-mini: plans of figures and actions, with frames, annotations and detections."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data_pipelines.mini.backgrounds import (
    Actor,
    Room,
    Thing,
    make_look,
    make_room,
    pictures,
    shake,
)
from data_pipelines.mini.figures import HANDS, extent, joints
from data_pipelines.mini.motions import WALKING_SPEED, Step, act

# Action of body or arm in a step -> name and kind in AVA's action list. Ids start at 1.
ACTIONS = {
    "crouch": ("crouch/kneel", "PERSON_MOVEMENT"),
    "dance": ("dance", "PERSON_MOVEMENT"),
    "fall": ("fall down", "PERSON_MOVEMENT"),
    "get up": ("get up", "PERSON_MOVEMENT"),
    "lie": ("lie/sleep", "PERSON_MOVEMENT"),
    "sit": ("sit", "PERSON_MOVEMENT"),
    "stand": ("stand", "PERSON_MOVEMENT"),
    "walk left": ("walk left", "PERSON_MOVEMENT"),
    "walk right": ("walk right", "PERSON_MOVEMENT"),
    "carry": ("carry/hold (an object)", "OBJECT_MANIPULATION"),
    "lift": ("lift/pick up", "OBJECT_MANIPULATION"),
    "put down": ("put down", "OBJECT_MANIPULATION"),
    "raise": ("raise the arms", "PERSON_INTERACTION"),
    "wave": ("hand wave", "PERSON_INTERACTION"),
    "push": ("push (another person)", "PERSON_INTERACTION"),
    "grab": ("grab (a person)", "PERSON_INTERACTION"),
    "hand over": ("hand over (an object)", "PERSON_INTERACTION"),
}
ACTION_IDS = {key: number for number, key in enumerate(ACTIONS, 1)}
ACTION_IDS |= dict.fromkeys(("give", "take"), ACTION_IDS["hand over"])
# In figure heights: distance between the two of a pair, and radius of the ball that figures hold.
APART, BALL = 0.62, 0.13


class Deck:
    """Draws cards in random order, all of them before any comes again."""

    def __init__(self, cards: Sequence, random: np.random.Generator):
        self.cards, self.random, self.left = tuple(cards), random, []

    def draw(self):
        """The next card."""
        if not self.left:
            self.left = list(self.random.permutation(len(self.cards)))
        return self.cards[self.left.pop()]


class Decks:
    """Decks for all random choices of actions in a split, so that every action occurs enough."""

    def __init__(self, random: np.random.Generator):
        # The number of figures that act alone, and whether a pair acts together.
        self.scenes = Deck(((0, True),) * 2 + ((1, True),) * 2 + ((2, False),) * 4, random)
        self.alone = Deck(
            ("walk", "walk", "down", "down", "sit", "sit", "lift", "lift", "crouch", "dance",
             "stand"), random
        )
        self.arms = Deck(("", "wave", "wave", "raise", "raise", "carry", "carry"), random)
        self.together = Deck(("exchange", "push", "push", "grab", "grab", "apart"), random)
        self.apart = Deck(("stand", "stand", "lift", "crouch", "dance"), random)


@dataclass(frozen=True)
class Scene:
    """A planned video of F figures and T frames.

    Attributes:
        size: (height, width) in pixels.
        fps: frames per second.
        room, actors, things: what is rendered, see backgrounds.py.
        offsets: (T,2), see `shake`.
        boxes: (F,T,4) box of each figure in each frame, x1,y1,x2,y2 as fractions within 0..1.
        doing: for each figure, (begin, end, action ids) of its steps, in seconds.
    """

    size: tuple[int, int]
    fps: int
    room: Room
    actors: tuple[Actor, ...]
    things: tuple[Thing, ...]
    offsets: np.ndarray
    boxes: np.ndarray
    doing: tuple[tuple[tuple[float, float, tuple[int, ...]], ...], ...]

    def pictures(self, random: np.random.Generator) -> Iterator[np.ndarray]:
        """Renders the frames, uint8 (H,W,3)."""
        return pictures(self.room, self.actors, self.things, self.offsets, random)

    def actions(self, figure: int, second: float) -> tuple[int, ...]:
        """Ids of the actions of a figure at a second of the video."""
        return next(ids for begin, end, ids in self.doing[figure] if begin <= second < end)


def plan_scenes(
    count: int, seed: Sequence[int], **video: int
) -> Iterator[tuple[Scene, np.random.Generator]]:
    """Yields `count` random scenes.

    Args:
        count: number of scenes.
        seed: the same seed yields the same scenes.
        **video: seconds, fps, height and width, as for `plan_scene`.

    Yields:
        (scene, generator for rendering it and for its detections)
    """
    decks = Decks(np.random.default_rng(seed))
    for number in range(count):
        random = np.random.default_rng([*seed, number])
        yield plan_scene(decks, random, **video), random


def plan_scene(
    decks: Decks,
    random: np.random.Generator,
    *,
    seconds: int,
    fps: int,
    height: int,
    width: int,
) -> Scene:
    """A random scene of one to three figures, whose steps begin midway between whole seconds.

    Args:
        decks: decks of the split.
        random: generator of everything else.
        seconds: duration of the video.
        fps: frames per second.
        height, width: size in pixels.
    """
    alone, together = decks.scenes.draw()
    lanes = alone + 2 * together
    tallest = 0.75 if not alone else 0.6 if not together else 0.5
    size = random.uniform(0.85, 1) * tallest * height
    groups = []
    lane_width = width / lanes
    first = int(random.integers(0, alone + 1))  # the pair occupies neighboring lanes
    for number in range(alone):
        lane = number + 2 * (together and number >= first)
        middle = (lane + 0.5 + random.uniform(-0.08, 0.08)) * lane_width
        middle = np.clip(middle, 0.72 * size, width - 0.72 * size)
        steps, side = _alone(decks, random, seconds)
        groups.append([(middle + side * WALKING_SPEED * size, steps)])
    if together:
        middle = (first + 1 + random.uniform(-0.08, 0.08)) * lane_width
        middle += (2 * first - 1) * alone * 0.15 * lane_width  # room for the third
        both = _together(decks, random, seconds)
        groups.append([
            (middle + way * size * APART / 2, steps)
            for way, steps in zip((-1, 1), both, strict=True)
        ])
    return stage(groups, random, size=size, begin=-0.5, frames=seconds * fps, fps=fps,
                 height=height, width=width)


def stage(
    groups: Sequence[Sequence[tuple[float, Sequence[Step]]]],
    random: np.random.Generator,
    *,
    size: float,
    begin: float,
    frames: int,
    fps: int,
    height: int,
    width: int,
) -> Scene:
    """Places figures in a random room.

    Args:
        groups: for each group, (x in pixels at which a figure starts, its steps). The figures of a
            group share one ball.
        random: generator of the variations.
        size: height of the figures in pixels.
        begin: second at which the first steps begin.
        frames: number of frames.
        fps: frames per second.
        height, width: size in pixels.
    """
    times = np.arange(frames) / fps
    room = make_room(random, height, width)
    offsets = shake(random, times, height)
    troupe, things = [], []  # troupe: (y of the ground, number of the figure, actor)
    doing = []
    for group in groups:
        ground = random.uniform(0.88, 0.97) * height
        holds, hands = [], []
        for x, steps in group:
            look = make_look(random, size * random.uniform(0.96, 1.04), room)
            motion = act(steps, begin, times, random)
            places = joints(motion.poses) * look.height
            places[..., 0] += (x + motion.walked * look.height)[:, None]
            places[..., 1] += ground
            troupe.append((ground, len(troupe), Actor(look, places.astype(np.float32))))
            holds.append(motion.holding)
            hands.append(places[:, HANDS][np.arange(frames), motion.hand])
            ends = begin + np.cumsum([0, *(step.seconds for step in steps)])
            ids = (tuple(ACTION_IDS[k] for k in (s.body, s.arm) if k) for s in steps)
            doing.append(tuple(zip(ends[:-1].tolist(), ends[1:].tolist(), ids, strict=True)))
        held = sum(holds)
        if held.any():
            place = sum(share[:, None] * hand for share, hand in zip(holds, hands, strict=True))
            place /= np.maximum(held, 1e-6)[:, None]
            color = np.where(random.permutation(3) == 0, 255.0, random.uniform(0, 70))
            things.append(Thing(place, np.minimum(held, 1) * BALL * size, color))
    boxes = np.stack([
        extent(actor.places, actor.look.height) for _, _, actor in troupe
    ]) + np.tile(offsets, 2)
    boxes = np.clip(boxes / [width, height, width, height], 0, 1)
    actors = tuple(actor for _, _, actor in sorted(troupe, key=lambda entry: entry[:2]))
    return Scene((height, width), fps, room, actors, tuple(things), offsets, boxes, tuple(doing))


def _alone(decks: Decks, random: np.random.Generator, seconds: int) -> tuple[list[Step], float]:
    """(steps of a figure that acts alone, side of its lane where it starts: -1 or 1)."""
    side = first_side = int(random.choice([-1, 1]))
    steps: list[Step] = []
    while sum(step.seconds for step in steps) <= seconds:
        kind = decks.alone.draw()
        # Sitting and lying take space, which is free toward the middle of the lane.
        way = -side if kind in ("sit", "down") else int(random.choice([-1, 1]))
        if kind == "down":
            steps += [
                Step(1, "fall", way=way, shift=random.uniform(-0.08, 0.08)),
                Step(1, "lie", way=way),
                Step(1, "get up", way=way, shift=random.uniform(-0.08, 0.08)),
            ]
        elif kind == "lift":
            steps += _lift(random, way)
        elif kind == "walk":
            body, side = ("walk right", 1) if side < 0 else ("walk left", -1)
            steps.append(Step(2, body, decks.arms.draw(), way))
        else:
            arm = decks.arms.draw() if kind in ("stand", "sit") else ""
            steps.append(Step(2, kind, arm, way))
    return steps, first_side


def _lift(random: np.random.Generator, way: int) -> list[Step]:
    """Steps of lifting and putting down, in random order."""
    arms = ("lift", "put down")[:: int(random.choice([-1, 1]))]
    return [Step(1, "stand", arm, way, random.uniform(-0.08, 0.08)) for arm in arms]


def _together(decks: Decks, random: np.random.Generator, seconds: int) -> list[list[Step]]:
    """Steps of two figures that face each other: the left one's and the right one's."""
    both: list[list[Step]] = [[], []]
    while sum(step.seconds for step in both[0]) <= seconds:
        kind, first = decks.together.draw(), int(random.integers(2))
        ways = (1, -1) if first == 0 else (-1, 1)  # of the first figure and of the other
        if kind == "exchange":
            shifts = random.uniform(-0.08, 0.08, 2)
            new = [
                [Step(1, "stand", arm, way, shift)
                 for arm, shift in zip(arms, (0, *shifts), strict=True)]
                for arms, way in zip((("carry", "give", "take"), ("", "take", "give")), ways,
                                     strict=True)
            ]
        elif kind == "apart":
            new = [_apart(decks, random, -ways[0], True), _apart(decks, random, -ways[1], False)]
        else:
            new = [[Step(2, "stand", kind, ways[0])], [Step(2, "stand")]]
        both[first] += new[0]
        both[1 - first] += new[1]
    return both


def _apart(decks: Decks, random: np.random.Generator, way: int, thing: bool) -> list[Step]:
    """Two seconds in which one of a pair acts alone; `thing`: it may hold the shared ball."""
    kind = decks.apart.draw()
    while kind == "lift" and not thing:
        kind = decks.apart.draw()
    if kind == "lift":
        return _lift(random, way)
    arm = decks.arms.draw() if kind == "stand" else ""
    return [Step(2, kind, arm if thing or arm != "carry" else "", way)]


class LabeledBox(NamedTuple):
    """A box at one second.

    Attributes:
        second: seconds after the first frame.
        box: x1,y1,x2,y2 as fractions of the picture.
        ids: ids of its actions, () for none.
        mark: the id of the person, or the score of the detector.
    """

    second: int
    box: np.ndarray
    ids: tuple[int, ...]
    mark: float


def keyframe_seconds(scene: Scene) -> range:
    """Annotated seconds after the first frame. As in AVA, the first two are not annotated."""
    return range(2, len(scene.offsets) // scene.fps)


def annotate(scene: Scene) -> list[LabeledBox]:
    """The true boxes and actions of all figures at all keyframes."""
    return [
        LabeledBox(second, scene.boxes[figure, second * scene.fps], scene.actions(figure, second),
                 figure)
        for second in keyframe_seconds(scene)
        for figure in range(len(scene.boxes))
    ]


def detect(scene: Scene, random: np.random.Generator) -> list[LabeledBox]:
    """Boxes of a simulated person detector at all keyframes, with the true actions.

    Boxes are slightly inaccurate. Four percent of the figures are missed or score below 0.9. False
    positives on furniture and background have scores up to 0.99 and an IoU below 0.3 with any
    figure.
    """
    found = []
    for person in annotate(scene):
        size = np.tile(person.box[2:] - person.box[:2], 2)
        off = np.clip(random.normal(0, 0.03, 4), -0.07, 0.07)
        box = np.clip(person.box + size * off, 0, 1)
        luck, score = random.random(), random.uniform(0.92, 0.999)
        if luck > 0.03:
            score = score if luck > 0.04 else random.uniform(0.5, 0.89)
            found.append(LabeledBox(person.second, box, person.ids, score))
    height, width = scene.size
    for second in keyframe_seconds(scene):
        people = scene.boxes[:, second * scene.fps]
        for piece in scene.room.furniture / [width, height, width, height]:
            left, top, wide, tall = random.uniform(0, [0.8, 0.5, 0.2, 0.4])
            nothing = np.array([left, top, left + 0.1 + wide, top + 0.2 + tall])
            luck, score = random.uniform([0, 0.3], [1, 0.99])
            box = np.clip(piece if luck < 0.12 else nothing, 0, 1)
            if luck < 0.18 and max(overlap(box, person) for person in people) < 0.3:
                found.append(LabeledBox(second, box, (), score))
    return sorted(found, key=lambda row: row.second)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union (IoU) of two boxes x1,y1,x2,y2."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(np.prod(np.maximum(sides, 0)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    return common / (sum(areas) - common)
