"""How configurations are divided: every style of device, and any text at all."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forestall.kernel.sections import TOP, read_sections, split_lines

CISCO = "hostname sw-1\ninterface Gi1/0/1\n description desk\n!\nline vty 0 4\n transport input ssh\n"
JUNOS = "system {\n    services {\n        ssh;\n    }\n}\n"
JUNOS += "interfaces {\n    ge-0/0/0 {\n        disable;\n    }\n}\n"
FORTI = 'config system admin\n    edit "admin"\n        set trusthost1 10.0.0.0 255.0.0.0\n    next\nend\n'
ROUTEROS = "# jan\n/ip service\nset telnet disabled=yes\n/ip firewall filter\nadd action=accept chain=input\n"
SET = "set system host-name r1\nset system services ssh\nset interfaces eth0 address dhcp\n"
SSHD = "Port 22\nMatch User git\nPasswordAuthentication no\nMatch Group ops\nX11Forwarding no\n"
INI = "; a comment\n[global]\nworkgroup = A\n[share]\npath = /srv\n"


@pytest.mark.parametrize(
    ("text", "style", "line", "path"),
    [
        (CISCO, "indented", " transport input ssh", ("line vty 0 4",)),
        (CISCO, "indented", "line vty 0 4", ()),
        (JUNOS, "braced", "        ssh;", ("system", "services")),
        (JUNOS, "braced", "        disable;", ("interfaces", "ge-0/0/0")),
        (
            FORTI,
            "indented",
            "        set trusthost1 10.0.0.0 255.0.0.0",
            ("config system admin", 'edit "admin"'),
        ),
        (ROUTEROS, "paths", "set telnet disabled=yes", ("/ip service",)),
        (SET, "set", "set system services ssh", ()),
        (SSHD, "match", "X11Forwarding no", ("Match Group ops",)),
        (SSHD, "match", "Port 22", ()),
        (INI, "ini", "path = /srv", ("[share]",)),
    ],
)
def test_each_style_knows_what_stands_where(text: str, style: str, line: str, path: tuple[str, ...]) -> None:
    sections = read_sections(text)
    assert sections.style == style
    assert sections.path(sections.lines.index(line)) == path


some = st.sampled_from(
    ["a {", "}", "  b", "   c", "", "!", "set x", "/ip", "add y", "[s]", "Match all", "\tz"]
)


@example("}\n\n  b")
@given(st.one_of(st.lists(some, max_size=30).map("\n".join), st.text()))
def test_any_text_is_divided_and_what_stands_under_a_line_follows_it(text: str) -> None:
    sections = read_sections(text)
    assert sections.lines == split_lines(text)
    for number, parent in enumerate(sections.parents):
        assert TOP <= parent < number
        sections.path(number)
        inside = [one for one in range(len(sections.lines)) if _under(sections.parents, one, number)]
        assert inside == list(range(number + 1, sections.ends[number]))


def _under(parents: list[int], line: int, heading: int) -> bool:
    at = parents[line]
    while at not in (TOP, heading):
        at = parents[at]
    return at == heading
