"""The guard's judgement: told once after a while, again later, and when it is over."""

from forestall.processes.guard import TELL_AGAIN_S, Watchman


def test_short_trouble_is_not_told() -> None:
    watchman = Watchman()
    assert watchman.judge({"web": "no answer"}, 0.0, 30.0) == []
    assert watchman.judge({}, 10.0, 30.0) == []


def test_lasting_trouble_is_told_once_then_again_and_its_end() -> None:
    watchman = Watchman()
    watchman.judge({"web": "no answer"}, 0.0, 30.0)
    assert [subject for subject, _ in watchman.judge({"web": "no answer"}, 31.0, 30.0)] == ["web"]
    assert watchman.judge({"web": "no answer"}, 60.0, 30.0) == []
    assert len(watchman.judge({"web": "no answer"}, 31.0 + TELL_AGAIN_S, 30.0)) == 1
    over = watchman.judge({}, 40.0 + TELL_AGAIN_S, 30.0)
    assert [subject for subject, _ in over] == ["over: web"]
    assert watchman.judge({}, 50.0 + TELL_AGAIN_S, 30.0) == []


def test_what_could_not_be_told_is_told_at_the_next_look() -> None:
    watchman = Watchman()
    watchman.judge({"store": "silent"}, 0.0, 30.0)
    assert watchman.judge({"store": "silent"}, 31.0, 30.0)
    watchman.told_at.pop("store")
    assert watchman.judge({"store": "silent"}, 34.0, 30.0)


def test_a_role_is_silent_since_its_last_sign() -> None:
    watchman = Watchman()
    begun = {"watch gave no sign of life": 100.0}
    assert watchman.judge({"watch gave no sign of life": "It stands."}, 131.0, 30, begun=begun) == [
        ("watch gave no sign of life", "It stands. (for 31 s)")
    ]
