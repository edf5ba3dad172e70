"""A table of functions that the program fills before its calls is full in tasks.

['sum of 1 2', 'gap of 1 2']
['late of 1']
True
"""

from ways import open_way

HANDLERS = {}


def handles(name):
    def keep(fn):
        HANDLERS[name] = fn
        return fn

    return keep


@handles("sum")
def handle_sum(*numbers):
    return f"sum of {' '.join(map(str, numbers))}"


@handles("gap")
def handle_gap(*numbers):
    return f"gap of {' '.join(map(str, numbers))}"


def handle(name, *numbers):
    return HANDLERS[name](*numbers)


def same(name):
    return HANDLERS[name] is globals()[f"handle_{name}"]


if __name__ == "__main__":
    with open_way() as way:
        print(way.run(handle, ["sum", "gap"], [1, 1], [2, 2]))
        HANDLERS["late"] = lambda x: f"late of {x}"
        print(way.map(handle, ["late"], [1]))
        print(all(way.map(same, ["sum", "gap"])))
