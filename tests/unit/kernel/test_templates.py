"""What is one message and what is not, and that fingerprints last."""

from hypothesis import given
from hypothesis import strategies as st

from forestall.kernel.shapes import shape_text
from forestall.kernel.templates import SHAPES_MAX, WAYS, WILD, Templates, read_shape

USERS = ("root", "test", "news", "cyrus", "admin")


def learned(*lines: str) -> Templates:
    templates = Templates()
    templates.learn([shape_text(line) or line for line in lines])
    return templates


def texts(templates: Templates, *lines: str) -> set[str]:
    return {templates.of_line(line).text for line in lines}


def test_numbers_addresses_paths_hosts_dates_and_units_vary_by_themselves() -> None:
    templates = Templates()
    for line, text in (
        (
            "connection from 10.1.2.3 (www.example.com) at Mon Jul 3 10:11:12",
            "connection from <*> (<*>) at <*>",
        ),
        ("connection from 10.1.2.3 () at Sat Jun 3 10:11:12", "connection from <*> (<*>) at <*>"),
        ("open of /var/lib/mysql/ibdata failed", "open of <*> failed"),
        ("stored, size 5.2 KB, free 12 MB", "stored, size <*>, free <*>"),
        ("link FF:00:AA:BB:CC:DD is up", "link <*> is up"),
        ("mail to jane.doe@example.org bounced", "mail to <*> bounced"),
        ("session opened for user jane by (uid=0)", "session opened for user <*> by (uid=<*>)"),
    ):
        assert templates.of_line(line).text == text


def test_a_word_in_which_enough_shapes_differ_varies() -> None:
    lines = [f"access of {name} to the share books was noted" for name in USERS]
    assert len(texts(learned(*lines[: WAYS.words - 1]), *lines[: WAYS.words - 1])) == WAYS.words - 1
    assert texts(learned(*lines), *lines) == {"access of <*> to the share books was noted"}


def test_a_value_behind_an_equals_sign_varies_at_once() -> None:
    lines = ("auth failure; tty=ssh user=root", "auth failure; tty=ssh user=guest")
    assert texts(learned(*lines), *lines) == {"auth failure; tty=ssh user=<*>"}


def test_a_word_that_says_a_state_never_varies() -> None:
    lines = [
        f"the backup service has {word} again" for word in ("started", "stopped", "failed", "crashed", "x")
    ]
    assert texts(learned(*lines), *lines) == set(lines)


def test_the_first_word_needs_many_ways() -> None:
    lines = [f"{name} startup took long" for name in USERS]
    assert texts(learned(*lines), *lines) == set(lines)


def test_a_template_takes_in_what_its_variable_can_be() -> None:
    lines = ("synchronized to 10.0.0.1, stratum 3", "synchronized to LOCAL(0), stratum 10")
    assert texts(learned(*lines), *lines) == {"synchronized to <*>, stratum <*>"}
    lines = ("link of 7 to the core", "link of down to the core")
    assert len(texts(learned(*lines), *lines)) == 2


def test_a_fingerprint_outlives_what_joins_it() -> None:
    lines = [f"access of {name} to the share books was noted" for name in USERS]
    templates = learned(lines[0])
    first = templates.of_line(lines[0])
    templates.learn(lines[1:3])
    young = templates.of_line(lines[2])
    assert young.fingerprint != first.fingerprint
    templates.learn(lines[3:])
    assert {templates.of_line(line).fingerprint for line in lines} == {first.fingerprint}
    assert templates.now(young.fingerprint) == first.fingerprint
    again = Templates(templates.known())
    assert again.of_line("access of somebody to the share books was noted") == templates.of_line(
        "access of somebody to the share books was noted"
    )
    assert again.of(first.text).fingerprint != 0
    assert again.of(templates.of_line(lines[0]).text).fingerprint == first.fingerprint


WORDS = st.sampled_from(
    (*USERS, "user", "host", "from", "to", "=", ":", "(", ")", "()", ",", "\x01", "\x02", "Mon", "Jul", "KB",
     "/a/b", "failed", "...", "-", "#\x01#", "a.example.com", "<*>", "[\x01]", "uid=\x01", "'x'")
)  # fmt: skip
SHAPES = st.lists(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), min_size=1, max_size=30)


@given(SHAPES)
def test_the_text_of_a_template_is_its_own_template(shapes: list[str]) -> None:
    templates = Templates()
    templates.learn(shapes)
    for shape in shapes:
        template = templates.of(shape)
        assert templates.of(template.text) == template
        assert templates.now(template.fingerprint) == template.fingerprint


@given(SHAPES, SHAPES)
def test_what_was_one_message_stays_so(shapes: list[str], more: list[str]) -> None:
    templates = Templates()
    templates.learn(shapes)
    before = {shape: templates.of(shape).fingerprint for shape in shapes}
    templates.learn(more)
    for shape, fingerprint in before.items():
        assert templates.now(fingerprint) == templates.of(shape).fingerprint


@given(st.text(max_size=300))
def test_any_text_has_a_template(text: str) -> None:
    assert read_shape(text) == read_shape(text)
    assert Templates().of(text).fingerprint > 0


def test_it_is_bounded() -> None:
    templates = Templates()
    words = [chr(97 + n % 26) + chr(97 + n // 26 % 26) + chr(97 + n // 676 % 26) for n in range(17_576)]
    templates.learn([f"q{word}q zz {word}z" for word in words])
    templates.learn([f"z{word}z xx {word}x" for word in words])
    assert len(templates.known()) <= SHAPES_MAX
    assert templates.of("never seen before").text == "never seen before"
    assert WILD not in templates.of("z z z").text
