"""The evolution strategy CMA-ES of DEAP finds the point of a serial run, in the last bit.

True True
True True
"""

import numpy as np
from deap import algorithms, base, cma, creator, tools
from ways import open_way

CENTRE = np.array([0.5, -1.0, 2.0])

creator.create("Smallest", base.Fitness, weights=(-1.0,))
creator.create("Point", np.ndarray, fitness=creator.Smallest)


def measure(point):
    away = np.asarray(point) - CENTRE
    return (float(away @ (away * [1.0, 10.0, 100.0])),)


def evolve(map_of_engine):
    np.random.seed(14)
    strategy = cma.Strategy(centroid=[0.0] * 3, sigma=1.0, lambda_=10)
    toolbox = base.Toolbox()
    toolbox.register("evaluate", measure)
    toolbox.register("generate", strategy.generate, creator.Point)
    toolbox.register("update", strategy.update)
    toolbox.register("map", map_of_engine)
    best = tools.HallOfFame(1, similar=np.array_equal)
    population, _ = algorithms.eaGenerateUpdate(toolbox, 40, halloffame=best, verbose=False)
    return [point.tobytes() for point in population], best[0].fitness.values


def move(point):
    return creator.Point(point + 1)


if __name__ == "__main__":
    serial = evolve(map)
    with open_way() as way:
        found = evolve(way.map)
        print(found == serial, evolve(way.run) == serial)
        moved = way.call(move, creator.Point([1, 2, 3]))
        print(found[1][0] < 0.1, [*moved] == [2, 3, 4])
