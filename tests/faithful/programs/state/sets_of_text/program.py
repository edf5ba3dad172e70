"""Values that hold equal sets of text stay those that importing their module has made.

True
True ['kinds', 'tags']
"""

import helper
from ways import open_way


def change():
    return all(helper.are_those()), sorted(helper.HOLDING)


if __name__ == "__main__":
    with open_way(1) as way:
        print(all(way.call(helper.are_those)))
        helper.HOLDING.clear()
        helper.HOLDING.update(kinds=helper.BY_KIND, tags=helper.TAGS)
        print(*way.call(change))
