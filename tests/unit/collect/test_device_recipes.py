"""Recipes: every mistake with its file and line; what they may run; how output is cleaned. No network."""

import re
from pathlib import Path

import pytest

from forestall.collect.devices.cleaning import clean, differing, output_of, plain_text
from forestall.collect.devices.recipe import (
    RecipeMistake,
    find_recipe,
    read_recipe,
    recipes,
    refuse_command,
    refuse_pattern,
)
from forestall.collect.masking import Masker
from forestall.kernel.errors import Trouble

GOOD = """title: Toaster
source: The toaster's manual
commands:
  - run: show toast
    kind: running
    title: Toast
    complete: '^end$'
secrets:
  - line: '^pin (?P<secret>\\d+)'
"""
MASKER = Masker(b"a key")


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("title: Toaster", "titel: Toaster"), 1, "unknown field `titel`"),
        (("run: show toast", "run: write memory"), 4, "does not begin with a word that reads"),
        (("run: show toast", "run: show toast; reload"), 4, "begin another command"),
        (("run: show toast", "run: show reload"), 4, "'reload', which can change a device"),
        (("run: show toast", "run: show toast | tee x"), 4, "hands its output to another program"),
        (("kind: running", "kind: 'No Kind'"), 5, "commands[0].kind"),
        (("'^end$'", "'^(end'"), 7, "is not a regular expression"),
        (("'^end$'", "'^(a+)+$'"), 7, "repeats a repetition"),
        (("(?P<secret>\\d+)", "\\d+"), 9, "no group says what is secret"),
        (("source: The toaster's manual", "source: xx\nprepare: [configure terminal]"), 3, "no known way"),
        (("title: Toaster", "title: Toaster\nlike: microwave"), 2, "there is no recipe 'microwave'"),
        (("  - run: show toast", "  - run: show: toast"), 4, "is not YAML"),
        (("kind: running", "kind: running\n    unknown: 1"), 4, "unknown field `unknown`"),
    ],
)
def test_a_mistake_names_file_line_and_what_to_write(change: tuple[str, str], line: int, says: str) -> None:
    with pytest.raises(RecipeMistake) as wrong:
        read_recipe("toaster", GOOD.replace(*change))
    assert str(wrong.value).startswith(f"toaster.yaml:{line}: "), str(wrong.value)
    assert says in str(wrong.value)
    assert wrong.value.remedy


def test_every_recipe_that_comes_with_it_can_be_read() -> None:
    found = recipes()
    assert len(found) >= 20
    for recipe in found.values():
        for command in recipe.commands:
            assert not refuse_command(command.run)
    with pytest.raises(Trouble, match="there is no recipe 'toaster'"):
        find_recipe("toaster")


def test_a_recipe_that_is_like_another_says_only_what_is_other() -> None:
    base, like = find_recipe("cisco-ios"), find_recipe("cisco-ios-xe")
    assert [one.run for one in like.commands] == [one.run for one in base.commands]
    assert like.title != base.title and len(like.secrets) > len(base.secrets)


@pytest.mark.parametrize(
    "command",
    ["show running-config", "cat /etc/os-release", "/export terse", "rpm -qa", "ip route show",
     "show configuration | display set | no-more", "/system resource print",
     "/opt/vyatta/bin/vyatta-op-cmd-wrapper show version"],
)  # fmt: skip
def test_what_reads_may_be_run(command: str) -> None:
    assert not refuse_command(command)


@pytest.mark.parametrize(
    "command",
    ["", "reload", "copy running-config tftp://x", "show x > y", "cat x && rm y", "show $(reboot)", "cat `x`",
     "ip link set eth0 down", "ip addr flush dev eth0", "rpm -e bash", "/system reset-configuration",
     "/opt/vyatta/bin/vyatta-op-cmd-wrapper reboot", "show x | redirect flash:y", "get x\nreload"],
)  # fmt: skip
def test_what_could_change_a_device_is_refused(command: str) -> None:
    assert refuse_command(command)


@pytest.mark.parametrize("pattern", ["(a+)+", "(a*b?)*$", "(?:x{1,200})+", "((ab)*c)*", "(?:a|b+)*"])
def test_patterns_that_could_take_for_ever_are_refused(pattern: str) -> None:
    assert "repetition" in refuse_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", [r"^snmp-server community (?P<secret>\S+)", r"(?:ab){0,4}\w{1,64}", "a|b+"]
)
def test_simple_patterns_pass(pattern: str) -> None:
    assert not refuse_pattern(pattern)


def test_text_is_as_a_terminal_shows_it() -> None:
    assert plain_text("one\r\ntwo\x1b[31m red\x1b[0m\r\n") == "one\ntwo red\n"
    assert plain_text("--More--\r        \rnext\r\n") == "next    \n"
    assert plain_text("--More--\b\b\b\b\b\b\b\b        \b\b\b\b\b\b\b\bnext") == "next    "
    assert plain_text("-- MORE --, next page\r\x1b[Knext") == "next"
    assert plain_text("---- More ----\x1b[14D              \x1b[14Dnext").rstrip() == "next"
    assert plain_text("\x1b[24;1Hsw# \x07") == "sw# "


def test_echo_and_prompt_are_no_part_of_the_output() -> None:
    recipe = find_recipe("cisco-ios")
    data = "show clock\r\n12:00\r\nsw-1#"
    assert output_of(data, command="show clock", prompt="sw-1#", recipe=recipe) == ["12:00"]
    assert output_of("12:00\nsw-1#", command="show clock", prompt="sw-1#", recipe=recipe) == ["12:00"]


def test_a_changed_secret_is_a_changed_mark_and_nothing_else() -> None:
    recipe = read_recipe("toaster", GOOD)
    texts = [
        clean(["pin 4711" if n == 0 else "pin 4712", "end"], recipe.commands[0], recipe, MASKER).text
        for n in (0, 1, 0)
    ]
    assert texts[0] == texts[2] != texts[1]
    assert re.fullmatch(r"pin ‹secret [0-9a-f]{6}›\nend\n", texts[0])


def test_a_line_that_no_person_writes_is_marked_as_a_whole() -> None:
    recipe = read_recipe("toaster", GOOD)
    found = clean(["image=" + "A" * 20_000, "end"], recipe.commands[0], recipe, MASKER).text
    assert len(found) < 200 and "a line of 20006 characters" in found


def test_blocks_are_secret_as_a_whole_also_without_an_end() -> None:
    text = GOOD + "blocks:\n  - {begins: '^key begin', ends: '^key end'}\n"
    recipe = read_recipe("toaster", text.replace("    complete: '^end$'\n", ""))
    command = recipe.commands[0]
    found = clean(["key begin", "AAAA", "BBBB", "key end", "x"], command, recipe, MASKER).text
    assert "AAAA" not in found and found.endswith("key end\nx\n")
    assert "BBBB" not in clean(["key begin", "AAAA", "BBBB"], command, recipe, MASKER).text


def test_what_differs_anyway_does_not_count_as_unsaved() -> None:
    recipe = find_recipe("cisco-asa")
    assert differing(": Saved x\nhostname a\n", ": Written y\nhostname a\n", recipe) == 0
    assert differing("hostname b\nvlan 1\n", "hostname a\nvlan 1\n", recipe) == 2
    assert differing("b\na\n", "a\nb\n", recipe) == 1


def test_recipes_are_short() -> None:
    home = Path(find_recipe.__wrapped__.__code__.co_filename).parent / "recipes"  # type: ignore[attr-defined]
    for file in home.glob("*.yaml"):
        assert len(file.read_text().splitlines()) <= 90, file.name
