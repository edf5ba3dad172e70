# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""A genetic algorithm of DEAP that fits a polynomial, evaluated by futures.map; prints its best.

It writes a line to stderr whenever the evaluation of a generation begins.
"""

import json
import random
import sys
import time

from deap import algorithms, base, creator, tools
from scoop import futures

WANTED = [1.0, -2.0, 0.5, 3.0]
SECONDS = 0.01

creator.create("Error", base.Fitness, weights=(-1.0,))
creator.create("Polynomial", list, fitness=creator.Error)


def evaluate(polynomial):
    time.sleep(SECONDS)
    return (sum(abs(found - wanted) for found, wanted in zip(polynomial, WANTED, strict=True)),)


def map_and_tell(fn, items):
    print("begins", file=sys.stderr, flush=True)
    return futures.map(fn, items)


def main(n_generations):
    random.seed(7)
    toolbox = base.Toolbox()
    toolbox.register("number", random.uniform, -5, 5)
    toolbox.register("individual", tools.initRepeat, creator.Polynomial, toolbox.number, 4)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", evaluate)
    toolbox.register("mate", tools.cxBlend, alpha=0.2)
    toolbox.register("mutate", tools.mutGaussian, mu=0, sigma=0.3, indpb=0.5)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("map", map_and_tell)
    population, log = algorithms.eaSimple(
        toolbox.population(n=60), toolbox, 0.5, 0.3, n_generations, verbose=False
    )
    best = tools.selBest(population, 1)[0]
    print(json.dumps([[gene.hex() for gene in best], log.select("nevals")]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
