"""A sealed bundle as a person reads it."""

from forestall.web.console.reading import readable

BUNDLE = {
    "format": "forestall/evidence 1",
    "finding": {"rule": "disk-full", "reason": "/srv is full"},
    "answer": "",
    "missing": [],
    "log_lines": [{"at_ms": 1_795_397_490_000, "source": "nginx", "message": "exiting"}],
    "series": [
        {"metric": "disk.used_ratio", "item": "/srv", "latest": 0.942, "mean": [0.9, None, 0.942]},
        {"metric": "uptime_s", "item": "", "latest": 5.0},
    ],
    "snapshots": [
        {"kind": "sshd_config", "text": "Port 22\n"},
        {"kind": "packages", "left_out": "too large"},
    ],
    "pack": {"name": "linux-server", "version": "1", "text": "rules: []\n"},
}


def test_what_was_wrong_comes_first_and_what_is_empty_is_left_out() -> None:
    titles = [title for title, _ in readable(BUNDLE)]
    assert titles[0] == "What was wrong" and titles[-1] == "Everything else"
    assert "The raw answer" not in titles and "What could not be gathered" not in titles


def test_texts_are_texts() -> None:
    parts = dict(readable(BUNDLE))
    assert parts["Log lines around it"] == "2026-11-23 01:31:30+00:00 nginx exiting"
    assert parts["The spec that judged"] == "rules: []\n"
    assert "── sshd_config" in parts["Configurations at the time"]
    assert "too large" in parts["Configurations at the time"]
    first, second = parts["Numbers around it"].splitlines()
    assert first == "disk.used_ratio /srv is 0.942: … 0.9, 0.942"
    assert second == "uptime_s is 5"


def test_nothing() -> None:
    assert readable({}) == []
