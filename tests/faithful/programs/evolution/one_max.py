"""A genetic algorithm of DEAP that counts ones has the population of a serial run.

True True
True improved
"""

import random

from deap import algorithms, base, creator, tools
from ways import open_way

creator.create("Most", base.Fitness, weights=(1.0,))
creator.create("Bits", list, fitness=creator.Most)


def count_ones(bits):
    return (sum(bits),)


toolbox = base.Toolbox()
toolbox.register("bit", random.randint, 0, 1)
toolbox.register("bits", tools.initRepeat, creator.Bits, toolbox.bit, 30)
toolbox.register("population", tools.initRepeat, list, toolbox.bits)
toolbox.register("evaluate", count_ones)
toolbox.register("mate", tools.cxTwoPoint)
toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
toolbox.register("select", tools.selTournament, tournsize=3)


def evolve(map_of_engine):
    random.seed(11)
    toolbox.register("map", map_of_engine)
    population = toolbox.population(n=24)
    best = tools.HallOfFame(2)
    algorithms.eaSimple(population, toolbox, 0.5, 0.2, 8, halloffame=best, verbose=False)
    return population, [one.fitness.values for one in population], list(best)


if __name__ == "__main__":
    serial = evolve(map)
    with open_way() as way:
        found = evolve(way.map)
        print(found == serial, evolve(way.run) == serial)
    population, values, best = found
    print(
        all(type(one).__name__ == "Bits" and one.fitness.valid for one in population),
        "improved" if sum(best[0]) > 20 else best,
    )
