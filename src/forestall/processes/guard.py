"""The guard: the smallest process there is, which watches the other three and the delivery of pages.

It uses nothing of the database and has its own channel out (`[guard]` in forestall.toml), so that it can
still tell when everything else cannot.
"""

import logging
import signal
import smtplib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx

from forestall.kernel.room import free_bytes
from forestall.kernel.signs import Heart, read_sign, read_words
from forestall.kernel.words import say_bytes, say_duration
from forestall.processes.disk_trial import DiskTrial, places_of
from forestall.processes.setup import Installation

LOOK_EVERY_S = 3.0
TRUSTED_FOR_S = 15.0  # how long everything may take to come up after a start
DELIVERY_LATE_S = 180.0
ANSWER_WITHIN_S = 5.0
TELL_AGAIN_S = 1800.0
BROKE_LATELY_S = 120.0
DISK_FAILS = "the disk fails"

log = logging.getLogger("guard")


@dataclass(slots=True)
class Watchman:
    """What is wrong now, since when, and when a person was last told."""

    wrong_since: dict[str, float] = field(default_factory=dict)
    told_at: dict[str, float] = field(default_factory=dict)

    def judge(
        self,
        troubles: dict[str, str],
        now: float,
        patience_s: float,
        *,
        begun: Mapping[str, float] | None = None,
    ) -> list[tuple[str, str]]:
        """What to tell: (subject, text) of troubles that lasted longer than `patience_s`, repeated every
        TELL_AGAIN_S, and of the end of each that was told. `begun`: since when, where that is known better
        than by when it was first seen."""
        messages = []
        for subject, text in troubles.items():
            since = self.wrong_since.setdefault(subject, (begun or {}).get(subject, now))
            if now - since < patience_s or now - self.told_at.get(subject, -TELL_AGAIN_S) < TELL_AGAIN_S:
                continue
            self.told_at[subject] = now
            messages.append((subject, f"{text} (for {say_duration(now - since)})"))
        for subject in [subject for subject in self.wrong_since if subject not in troubles]:
            since = self.wrong_since.pop(subject)
            if self.told_at.pop(subject, None) is not None:
                messages.append((f"over: {subject}", f"It is over after {say_duration(now - since)}."))
        return messages


def look(
    found: Installation, now: float, *, disks: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, float]]:
    """What is wrong, by subject, in words with what to do; and since when, for roles that fell silent.
    `disks`: what the trial of the disks says (DiskTrial.troubles)."""
    troubles, begun = {}, {}
    patience_s = found.config.guard.wedged_after_s
    for role in ("web", "watch", "store"):
        sign = read_sign(found.data.run, role)
        if sign is None:
            troubles[f"{role} gave no sign of life"] = f"The role {role} never started. Run: forestall doctor"
        elif sign.age_s(now) > patience_s:
            begun[f"{role} gave no sign of life"] = now - sign.age_s(now)
            troubles[f"{role} gave no sign of life"] = (
                f"The last sign of {role} (process {sign.pid}) is {say_duration(sign.age_s(now))} old. "
                "Run: forestall doctor"
            )
        elif role == "watch" and (late := float(sign.numbers.get("delivery_late_s", 0))) > DELIVERY_LATE_S:
            troubles["messages are not delivered"] = (
                f"A message to a person is due for {say_duration(late)}. Look at Channels in the console."
            )
    if reasons := [*disks.values(), *_broken_lately(found, now)]:
        troubles[DISK_FAILS] = (
            f"{'; '.join(reasons)}. What was acknowledged is on the disk; nothing is acknowledged that cannot"
            " be written. Look at the system's log and at the disk's own report (smartctl), make a backup and"
            " replace the disk. When it can be written again, it goes on by itself."
        )
    free, reserve = _free(found.data.root), found.config.limits.disk_reserve_bytes
    if free is not None and free < reserve:
        troubles["the disk is full"] = (
            f"{say_bytes(free)} are left at {found.data.root}, {say_bytes(reserve)} stay reserved:"
            " observations are turned away. Make room there; it goes on by itself."
        )
    try:
        url = f"http://{found.config.host}:{found.config.port('web')}/healthz"
        httpx.get(url, timeout=ANSWER_WITHIN_S, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        troubles["the console does not answer"] = (
            f"{url}: {error or type(error).__name__}. Run: forestall doctor"
        )
    return troubles, begun


def _free(root: Path) -> int | None:
    """What is left on the disk, None when it does not say."""
    try:
        return free_bytes(root)
    except OSError:
        return None


def _broken_lately(found: Installation, now: float) -> list[str]:
    """What roles said that ended because their queue could not be written."""
    words = [read_words(found.data.run, role) for role in ("watch", "web")]
    return [
        f"{one.role} ended {say_duration(max(0.0, now - one.at))} ago: {one.why}"
        for one in words
        if one and now - one.at < BROKE_LATELY_S
    ]


def tell(found: Installation, subject: str, text: str) -> None:
    """Send by the guard's own channels. Raises what the channel raises."""
    subject = f"Forestall: {subject}"
    guard, mail = found.config.guard, found.config.mail
    if guard.webhook:
        body: dict[str, Any] = {"title": subject, "text": text, "from": "forestall-guard"}
        httpx.post(guard.webhook, json=body, timeout=ANSWER_WITHIN_S, trust_env=False).raise_for_status()
    if guard.mail_to and mail.host:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, mail.sender, guard.mail_to
        message.set_content(text)
        with smtplib.SMTP(mail.host, mail.port, timeout=ANSWER_WITHIN_S) as server:
            server.send_message(message)


def run(found: Installation) -> None:
    """Look every few seconds until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    watchman = Watchman()
    state: dict[str, Any] = {"troubles": {}, "undelivered": "", "disks": {}}
    heart = Heart("guard", found.data.run, numbers=lambda: dict(state))
    heart.start()
    trial = DiskTrial(places_of(found.data))
    trial.start()
    stop.wait(TRUSTED_FOR_S)
    while not stop.is_set():
        now = time.time()
        state["disks"] = trial.troubles()
        state["troubles"], begun = look(found, now, disks=state["disks"])
        patience_s = found.config.guard.wedged_after_s
        for subject, text in watchman.judge(state["troubles"], now, patience_s, begun=begun):
            log.warning("%s: %s", subject, text)
            try:
                tell(found, subject, text)
                state["undelivered"] = ""
            except (httpx.HTTPError, OSError, smtplib.SMTPException) as error:
                watchman.told_at.pop(subject, None)  # try again at the next look
                state["undelivered"] = f"{subject}: {error}"
        stop.wait(LOOK_EVERY_S)
    trial.stop()
    heart.stop()
