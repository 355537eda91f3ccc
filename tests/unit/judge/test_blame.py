"""Who of the services is at fault: what a node does itself, not what those it calls do."""

from forestall.judge.blame import Course, rank_blame

CALLS = {"shop": ["cart", "search"], "cart": ["database"], "search": ["database"], "database": []}


def course(usual, now, answers=100):
    return Course([usual] * 10, [now], answers)


def test_a_slow_database_is_to_blame_and_not_who_waits_for_it():
    courses = {
        "shop": course(0.10, 0.50),
        "cart": course(0.05, 0.45, 50),
        "search": course(0.05, 0.45, 50),
        "database": course(0.01, 0.41),
    }
    ranked = rank_blame("shop", CALLS, courses)
    assert ranked[0].node == "database"
    assert ranked[1].score < ranked[0].score / 10


def test_a_node_that_is_slow_by_itself():
    courses = {"shop": course(0.10, 0.30), "cart": course(0.05, 0.25), "search": course(0.05, 0.05)}
    first = rank_blame("shop", CALLS, courses)[0]
    assert first.node == "cart"
    assert first.reason.startswith("20.00 more than usual in a step")


def test_better_than_usual_blames_nobody_and_circles_end():
    circle = {"a": ["b"], "b": ["a"]}
    ranked = rank_blame("a", circle, {"a": course(0.2, 0.1), "b": course(0.2, 0.1)})
    assert [one.score for one in ranked] == [0.0, 0.0]


def test_a_node_that_was_never_measured_before_is_not_blamed():
    courses = {"shop": course(0.1, 0.5), "cart": Course([float("nan")] * 5, [9.0], 100)}
    assert rank_blame("shop", CALLS, courses)[0].node == "shop"
