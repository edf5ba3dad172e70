"""Objects that have gone out and come back several times are of the program's classes still.

[3, 3, 3] [True, True, True]
True True
[True, False] 4
"""

from ways import open_way


class Node:
    def __init__(self, value, parent=None):
        self.value, self.parent = value, parent

    def __eq__(self, other):
        return type(other) is Node and other.value == self.value

    __hash__ = None


def grow(node):
    assert type(node) is Node
    return Node(node.value + 1, node.parent)


def pair(node):
    return node, node, Node(7, parent=node)


def describe(node, kind):
    return [isinstance(node, kind), isinstance(node, int)]


def make(kind, value):
    return kind(value)


if __name__ == "__main__":
    with open_way() as way:
        nodes = [Node(0), Node(0), Node(0)]
        for _ in range(3):
            nodes = way.map(grow, nodes)
        print([node.value for node in nodes], [type(node) is Node for node in nodes])
        left, right, child = way.call(pair, nodes[0])
        print(left is right, child.parent is left)
        print(way.call(describe, child, Node), way.call(make, Node, 4).value)
