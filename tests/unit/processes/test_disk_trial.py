"""The trial of the disks: what fails, what hangs, and what is somebody else's business."""

import threading
from pathlib import Path

from forestall.kernel.signs import leave_words, read_words
from forestall.processes.disk_trial import HANGS_AFTER_S, DiskTrial, try_disk


def test_a_sound_disk_keeps_nothing_of_the_trial(tmp_path: Path) -> None:
    assert try_disk(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_named_until_it_can(tmp_path: Path) -> None:
    trial = DiskTrial({"the queue": tmp_path / "queue", "the data": tmp_path})
    trial.round()
    assert trial.troubles() == {
        "the queue": f"a few bytes could not be written to {tmp_path / 'queue'}: No such file or directory"
    }
    (tmp_path / "queue").mkdir()
    trial.round()
    assert trial.troubles() == {}


def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    now, begun, answers = [0.0], threading.Event(), threading.Event()

    def hang(place: Path) -> str:
        begun.set()
        answers.wait(60)
        return ""

    trial = DiskTrial({"the data": tmp_path}, attempt=hang, clock=lambda: now[0])
    thread = threading.Thread(target=trial.round, daemon=True)
    thread.start()
    assert begun.wait(60)
    assert trial.troubles() == {}
    now[0] = HANGS_AFTER_S + 1
    assert trial.troubles() == {"the data": f"{tmp_path} has not answered a write of a few bytes for 21 s"}
    answers.set()
    thread.join(60)
    assert trial.troubles() == {}


def test_last_words_are_read_by_whoever_looks_later(tmp_path: Path) -> None:
    assert read_words(tmp_path, "watch") is None
    leave_words(tmp_path, "watch", "the queue cannot be written")
    found = read_words(tmp_path, "watch")
    assert found is not None and found.why == "the queue cannot be written"
    (tmp_path / "web.words").write_text("{")
    assert read_words(tmp_path, "web") is None
    leave_words(tmp_path / "gone", "web", "lost")
