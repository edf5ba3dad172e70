"""A task starts processes by "fork", which know the script's functions and classes.

[1, 4, 9] [True, True]
own error of a child
[2, 3]
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from ways import open_way


class Own:
    pass


class OwnError(Exception):
    pass


def square(x):
    return x * x


def is_own(own):
    return type(own) is Own


def fail(_):
    raise OwnError("own error of a child")


def say(queue):
    queue.put([2, 3])


def start(numbers):
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        squares = pool.map(square, numbers)
        owns = pool.map(is_own, [Own(), Own()])
        try:
            pool.map(fail, [1])
        except OwnError as error:
            words = str(error)
    return squares, owns, words


def start_executor(_):
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, context) as executor:
        assert list(executor.map(is_own, [Own()])) == [True]
    queue = context.SimpleQueue()
    process = context.Process(target=say, args=(queue,))
    process.start()
    found = queue.get()
    process.join()
    return found


if __name__ == "__main__":
    with open_way() as way:
        squares, owns, words = way.call(start, [1, 2, 3])
        print(squares, owns)
        print(words)
        print(way.call(start_executor, None))
