"""Pets has two tasks that share no class."""

from avbench_example.pets import Pets


def test_tasks_share_no_class():
    dogs, cats = Pets().tasks()
    assert (dogs.name, cats.name) == ("dogs", "cats")
    assert not set(dogs.classes) & set(cats.classes)
