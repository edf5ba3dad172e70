"""Genetic programming of DEAP: formulas are compiled and evaluated in tasks.

True True
Formula PrimitiveTree
"""

import math
import operator
import random

from deap import algorithms, base, creator, gp, tools
from ways import open_way

POINTS = [x / 5 for x in range(-5, 6)]


def divide(left, right):
    return left / right if right else 1.0


primitives = gp.PrimitiveSet("formula", 1)
for fn, n_arguments in ((operator.add, 2), (operator.mul, 2), (divide, 2), (math.cos, 1)):
    primitives.addPrimitive(fn, n_arguments)
primitives.addTerminal(1.0, "one")
primitives.renameArguments(ARG0="x")

creator.create("Least", base.Fitness, weights=(-1.0,))
creator.create("Formula", gp.PrimitiveTree, fitness=creator.Least)


def error(formula):
    fn = toolbox.compile(expr=formula)
    return (math.fsum((fn(x) - x**3 - x) ** 2 for x in POINTS),)


toolbox = base.Toolbox()
toolbox.register("expression", gp.genHalfAndHalf, pset=primitives, min_=1, max_=2)
toolbox.register("formula", tools.initIterate, creator.Formula, toolbox.expression)
toolbox.register("population", tools.initRepeat, list, toolbox.formula)
toolbox.register("compile", gp.compile, pset=primitives)
toolbox.register("evaluate", error)
toolbox.register("select", tools.selTournament, tournsize=3)
toolbox.register("mate", gp.cxOnePoint)
toolbox.register("grown", gp.genFull, min_=0, max_=2)
toolbox.register("mutate", gp.mutUniform, expr=toolbox.grown, pset=primitives)
for name in ("mate", "mutate"):
    toolbox.decorate(name, gp.staticLimit(operator.attrgetter("height"), 6))


def evolve(map_of_engine):
    random.seed(12)
    toolbox.register("map", map_of_engine)
    population = toolbox.population(n=30)
    algorithms.eaSimple(population, toolbox, 0.5, 0.2, 6, verbose=False)
    return [(str(one), one.fitness.values) for one in population]


def grow(formula):
    return toolbox.mutate(toolbox.clone(formula))[0]


if __name__ == "__main__":
    serial = evolve(map)
    with open_way() as way:
        print(evolve(way.map) == serial, evolve(way.run) == serial)
        formula = creator.Formula.from_string("add(x, mul(x, one))", primitives)
        grown = way.call(grow, formula)
        print(type(grown).__name__, type(grown).__mro__[1].__name__)
