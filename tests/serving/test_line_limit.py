"""How many lines get through, and what is told of the others."""

from serving.line_limit import LineLimit


def test_so_many_a_second_and_the_others_are_told_with_the_next_one():
    limit = LineLimit(2)
    assert [limit.take(10.0 + number / 10) for number in range(5)] == [0, 0, None, None, None]
    assert [limit.take(11.0 + number / 10) for number in range(3)] == [3, 0, None]
    assert limit.take(99.0) == 1
