"""Objects of the script that refer to each other do so in tasks, whatever they are reached by.

leaf True True
[1, True, True] [1, True, True]
[True, True]
"""

from ways import open_way


class Node:
    def __init__(self, name):
        self.name = name


root, leaf = Node("root"), Node("leaf")
root.child, leaf.parent = leaf, root


class Application:
    def __init__(self):
        self.plugins = PLUGINS


class Plugin:
    def __init__(self, application):
        self.application = application


PLUGINS = []
application = Application()
PLUGINS.append(Plugin(application))

LOOP = [[]]
LOOP[0].append(LOOP)


def look():
    return root.child.name, leaf.parent is root, root.child is leaf


def count(_):
    plugins = application.plugins
    return [len(plugins), plugins is PLUGINS, PLUGINS[0].application is application]


def go_round():
    return [LOOP[0][0] is LOOP, len(LOOP) == 1]


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(look))
        print(*way.run(count, range(2)))
        print(way.call(go_round))
