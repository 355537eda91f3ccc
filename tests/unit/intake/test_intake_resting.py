"""The store side at rest: its cursor says exactly what the store has, while intake and judging go on."""

import threading
import time
from pathlib import Path

import pytest
from test_intake_pump import Stage, line, until

from forestall.intake.cursors import BEGINNING, read_checkpoint
from forestall.intake.queue import QueueReader
from forestall.intake.resting import Turn, at_rest
from forestall.kernel.errors import Trouble


def test_at_rest_store_and_queue_are_everything_once(tmp_path: Path) -> None:
    stage, stop, sent = Stage(tmp_path), threading.Event(), [0]

    def talk() -> None:
        while not stop.is_set():
            stage.put(line(f"m{sent[0]} " + "x" * 60))
            sent[0] += 1

    talker = threading.Thread(target=talk)
    with stage.pump():
        talker.start()
        for _ in range(10):
            until(lambda: len(stage.store.messages) > 5)
            with at_rest(tmp_path / "cursors", wait_s=10):
                stored, enough = len(stage.store.messages), sent[0] + 3
                until(lambda enough=enough: sent[0] > enough)  # type: ignore[misc]  # intake goes on
                assert len(stage.store.messages) == stored, "the store side does not rest"
                kept = read_checkpoint(tmp_path / "cursors" / "store")
                place = kept.places.get("web", BEGINNING) if kept else BEGINNING
                assert place.intended is None, "a range is half handed over"
                behind = QueueReader(tmp_path / "web").read(place.at, max_bytes=1)[0][1]
                assert f">m{stored} ".encode() in behind, "a line is in both, or in neither"
        stop.set()
        talker.join()
        until(lambda: len(stage.store.messages) == sent[0])
        until(lambda: len(stage.judge.seen) == sent[0])
    stage.writer.close()
    assert len(set(stage.store.messages)) == sent[0]


def test_who_does_not_come_to_rest_is_told_of(tmp_path: Path) -> None:
    turn = Turn(tmp_path)
    assert turn.begin(threading.Event())
    with pytest.raises(Trouble, match="did not come to rest"), at_rest(tmp_path, wait_s=0.1):
        raise AssertionError("it is not at rest")
    asked = threading.Event()

    def rest() -> None:
        until(turn.is_asked)
        asked.set()
        turn.end()

    side = threading.Thread(target=rest)
    side.start()
    with at_rest(tmp_path, wait_s=10):
        assert asked.is_set()
        with pytest.raises(Trouble), at_rest(tmp_path, wait_s=0.1):
            raise AssertionError("two are at it")
    side.join()
    stopping = threading.Event()
    with at_rest(tmp_path, wait_s=10):
        threading.Timer(0.1, stopping.set).start()
        began = time.monotonic()
        assert not turn.begin(stopping) and time.monotonic() - began < 10
    turn.close()
    turn.close()
