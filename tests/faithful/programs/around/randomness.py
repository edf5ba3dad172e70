"""Generators of the program travel as they are; streams by seed are the same on every engine.

[0.238, 0.238] True
5 True
True
"""

import random

import numpy as np
from ways import open_way

import scoopsci


def draw(generator):
    return round(generator.random(), 3)


def draw_legacy(seed):
    random.seed(seed)
    np.random.seed(seed)
    return random.random(), np.random.random()


def advance(generator):
    generator.random(5)
    return generator


if __name__ == "__main__":
    generator = random.Random(3)
    with open_way() as way:
        print(way.map(draw, [random.Random(3), random.Random(3)]), draw(generator) == 0.238)
        back = way.call(advance, np.random.default_rng(1))
        here = advance(np.random.default_rng(1))
        print(5, back.random() == here.random())
        found = scoopsci.pi(20_000, seed=3, engine=way.library).value
        print(
            found == scoopsci.pi(20_000, seed=3, engine="serial").value
            and way.call(draw_legacy, 4) == draw_legacy(4)
        )
