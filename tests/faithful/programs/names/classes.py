"""Classes of the script: isinstance, super, class attributes and types are as in the program.

['Cat Animal', 'Dog Animal']
[True, True, True, False]
[True, True]
['Cat.Animal', 'Dog.Animal']
"""

from ways import open_way


class Animal:
    def describe(self):
        return "Animal"


class Loud:
    def describe(self):
        return f"{type(self).__name__} {super().describe()}"


class Cat(Loud, Animal):
    pass


class Dog(Loud, Animal):
    def __eq__(self, other):
        return isinstance(other, Dog)

    def __hash__(self):
        return 7


def look(animal):
    return [isinstance(animal, Cat), type(animal) is Cat, issubclass(Cat, Loud), animal == Dog()]


def name(animal):
    return animal.describe().replace(" ", ".")


def same(animal):
    return animal


if __name__ == "__main__":
    animals = [Cat(), Dog()]
    with open_way() as way:
        print(way.map(Animal.describe, []) or way.map(lambda animal: animal.describe(), animals))
        print(way.call(look, animals[0]))
        back = way.run(same, way.run(same, animals))
        print([type(animal) in (Cat, Dog) for animal in back])
        print(way.map(name, back))
