"""Islands of DEAP: each deme evolves in a task, and its best go to the next one.

True True
True True
"""

import random

from deap import algorithms, base, creator, tools
from ways import open_way

WANTED = [3, 1, 4, 1, 5, 9, 2, 6]

creator.create("Distance", base.Fitness, weights=(-1.0,))
creator.create("Digits", list, fitness=creator.Distance)


def distance(digits):
    return (float(sum(abs(a - b) for a, b in zip(digits, WANTED, strict=True))),)


toolbox = base.Toolbox()
toolbox.register("digit", random.randint, 0, 9)
toolbox.register("digits", tools.initRepeat, creator.Digits, toolbox.digit, len(WANTED))
toolbox.register("deme", tools.initRepeat, list, toolbox.digits, 12)
toolbox.register("evaluate", distance)
toolbox.register("mate", tools.cxUniform, indpb=0.5)
toolbox.register("mutate", tools.mutUniformInt, low=0, up=9, indpb=0.2)
toolbox.register("select", tools.selTournament, tournsize=3)


def evolve_deme(seed, deme):
    """Evolve one deme for some generations, in a task."""
    random.seed(seed)
    deme, _ = algorithms.eaSimple(deme, toolbox, 0.6, 0.3, 3, verbose=False)
    return deme


def evolve(map_of_engine):
    random.seed(13)
    demes = [toolbox.deme() for _ in range(3)]
    for era in range(4):
        seeds = [100 * era + i for i in range(len(demes))]
        demes = list(map_of_engine(evolve_deme, seeds, demes))
        random.seed(era)  # a task in this process has seeded it otherwise
        tools.migRing(demes, 2, tools.selBest, replacement=tools.selWorst)
    return demes


if __name__ == "__main__":
    serial = evolve(map)
    with open_way() as way:
        found = evolve(way.map)
        print(found == serial, evolve(way.run) == serial)
    values = [[one.fitness.values for one in deme] for deme in found]
    print(
        values == [[one.fitness.values for one in deme] for deme in serial],
        all(type(one).__name__ == "Digits" for deme in found for one in deme),
    )
