"""Two texts side by side, and one setting of many devices."""

from hypothesis import given
from hypothesis import strategies as st

from forestall.configs.comparing import compare_texts, pair_rows, settings_of

OLD = (
    "interface a\n description x\n!\n"
    + "vlan 1\n" * 20
    + "line vty 0 4\n login\n transport input telnet\nend\n"
)
NEW = OLD.replace("telnet", "ssh")
texts = st.lists(st.sampled_from(["a", "b", " c", "{", "}", ""]), max_size=30).map("\n".join)


def test_where_lines_are_left_out_it_says_in_which_section_it_goes_on() -> None:
    found = compare_texts(OLD, NEW)
    assert found[0].kind == "…" and found[0].heading == ""
    deep = compare_texts(
        OLD.replace("login", "login\n a\n b\n c\n d"), NEW.replace("login", "login\n a\n b\n c\n d")
    )
    assert deep[0].heading == "line vty 0 4"
    assert [row.text for row in found if row.kind in "+-"] == [
        " transport input telnet",
        " transport input ssh",
    ]
    assert not [row for row in compare_texts(OLD, NEW, folded=False) if row.kind == "…"]


@given(texts, texts)
def test_both_columns_are_the_two_texts(old: str, new: str) -> None:
    pairs = pair_rows(compare_texts(old, new, folded=False))
    assert [pair.left.text for pair in pairs if pair.left] == old.splitlines()
    assert [pair.right.text for pair in pairs if pair.right] == new.splitlines()
    for pair in pairs:
        assert (pair.kind == "=") == (pair.left is pair.right)
    folded = pair_rows(compare_texts(old, new))
    assert [pair for pair in folded if pair.kind in "+-~"] == [pair for pair in pairs if pair.kind in "+-~"]


def test_who_says_something_else_than_most_comes_first() -> None:
    found = settings_of([
        ("a", ["ntp server 1", "ntp server 2"]),
        ("b", ["ntp  server 2", "ntp server 1"]),
        ("c", ["ntp server 1", "ntp server 3"]),
        ("d", []),
    ])  # fmt: skip
    assert found.usual == ("ntp server 1", "ntp server 2") and found.agree == 2
    assert [row.place for row in found.rows] == ["c", "d", "a", "b"]
    assert (found.rows[0].more, found.rows[0].less) == (("ntp server 3",), ("ntp server 2",))
    assert found.rows[1].less == found.usual and not found.rows[2].differs
    assert settings_of([]).rows == []
