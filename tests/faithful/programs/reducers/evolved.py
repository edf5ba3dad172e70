"""Classes made by DEAP's creator go out, come back, and go out again.

[6, 6] True True
[(6.0,), (6.0,)] True
Individual deap.creator
"""

import random

from deap import base, creator, tools
from ways import open_way

creator.create("FitnessMax", base.Fitness, weights=(1.0,))
creator.create("Individual", list, fitness=creator.FitnessMax)


def evaluate(individual):
    return (float(sum(individual)),)


def grade(individual):
    assert type(individual) is creator.Individual
    individual.fitness.values = evaluate(individual)
    return individual


def mate(left, right):
    return tools.cxOnePoint(left, right)


if __name__ == "__main__":
    random.seed(1)
    with open_way() as way:
        first = creator.Individual([1, 2, 3])
        graded = way.map(grade, [first, first])
        again = way.run(grade, graded)
        print(
            [sum(one) for one in again],
            type(again[0]) is creator.Individual,
            type(again[0].fitness) is creator.FitnessMax,
        )
        print([one.fitness.values for one in again], again[0].fitness.valid)
        child = way.call(mate, *again)[0]
        print(type(child).__name__, type(child).__module__)
