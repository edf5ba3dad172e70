# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""A SCOOP program that makes every possible call, and prints the results as JSON."""

import json
import operator
import sys

import scoop
from scoop import futures, shared

TABLE = list(range(100))


class Counter:
    def __init__(self, count):
        self.count = count

    def add(self, number):
        return self.count + number


def square(x):
    return x * x


def power(x, exponent=1):
    return x**exponent


def make_adder(n):
    def add(x):
        return x + n

    return add


def look_up(index):
    return TABLE[index]


def grow(counter):
    counter.count += 1
    return counter


def fail(x):
    raise LookupError("no", x)


def read_constant(name):
    return shared.getConst(name, timeout=10)


def where(_):
    return scoop.IS_ORIGIN


def nested(level):
    if level == 0:
        return 1
    return sum(futures.map(nested, [level - 1] * 2))


def nested_by_submit(n):
    tasks = [futures.submit(nested, i) for i in range(n)]
    return sorted(task.result() for task in futures.as_completed(tasks))


def main():
    found: dict[str, object] = {}
    found["map"] = list(futures.map(square, range(20)))
    found["map of two"] = list(futures.map(power, [2, 3], [3, 2]))
    found["lambda"] = list(futures.map(lambda x: x + 1, range(5)))
    found["closure"] = [futures.submit(make_adder(n), 1).result() for n in range(3)]
    found["method"] = futures.submit(Counter(5).add, 3).result()
    found["keywords"] = futures.submit(power, 2, exponent=5).result()
    found["as completed"] = sorted(futures.map_as_completed(square, range(20)))
    found["reduce"] = futures.mapReduce(square, operator.add, range(50))
    found["scan"] = futures.mapScan(square, operator.add, range(10))
    found["global"] = list(futures.map(look_up, range(5)))
    found["objects"] = [type(c) is Counter and c.count for c in futures.map(grow, [Counter(1)])]
    found["nested"] = futures.submit(nested, 6).result()
    found["nested by submit"] = futures.submit(nested_by_submit, 5).result()
    tasks = [futures.submit(square, x) for x in range(5)]
    done, not_done = futures.wait(tasks)
    found["wait"] = [sorted(task.result() for task in done), len(not_done)]
    called = []
    task = futures.submit(square, 9)
    task.add_done_callback(lambda future: called.append(future.result()))
    futures.wait([task])
    found["callback"] = called
    try:
        futures.submit(fail, 3).result()
    except LookupError as error:
        found["error"] = list(error.args)
    shared.setConst(letters={"a": 1})
    shared.setConst(double=lambda x: 2 * x)
    found["constant"] = list(futures.map(read_constant, ["letters"]))
    found["executed in the origin"] = any(futures.map(where, range(20)))
    found["arguments"] = sys.argv[1:]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
