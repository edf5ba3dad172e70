"""Classes made by DEAP's creator go out, come back, and go out again, as its reducer has it.

[6, 6] Individual FitnessMax
[(6.0,), (6.0,)] True
Individual deap.creator True
"""

from deap import base, creator, tools
from ways import open_way

creator.create("FitnessMax", base.Fitness, weights=(1.0,))
creator.create("Individual", list, fitness=creator.FitnessMax)


def evaluate(individual):
    return (float(sum(individual)),)


def grade(individual):
    individual.fitness.values = evaluate(individual)
    return individual


def mate(left, right):
    return tools.cxOnePoint(left, right)


def make(numbers):
    return creator.Individual(numbers)


if __name__ == "__main__":
    with open_way() as way:
        first = creator.Individual([1, 2, 3])
        again = way.run(grade, way.map(grade, [first, first]))
        kind = type(again[0])
        print([sum(one) for one in again], kind.__name__, type(again[0].fitness).__name__)
        print([one.fitness.values for one in again], again[0].fitness.valid)
        child = way.call(mate, *again)[0]
        made = way.call(make, [4, 5])
        print(type(child).__name__, type(child).__module__, made == [4, 5])
