"""A disk that fails for a while does not end the signs of life."""

from pathlib import Path

from forestall.kernel.signs import Heart, read_sign


def test_signs_come_again_when_the_disk_does(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    heart = Heart("watch", run)
    run.rename(tmp_path / "away")
    (tmp_path / "run").write_text("a file: nothing can be written or removed below it")
    heart.give()
    (tmp_path / "run").unlink()
    (tmp_path / "away").rename(run)
    heart.give()
    sign = read_sign(run, "watch")
    assert sign is not None and sign.role == "watch"
