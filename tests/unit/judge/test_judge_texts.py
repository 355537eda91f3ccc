"""Rules on the texts of configurations: blocks of every syntax, values, counts, baselines, overrides."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_world import BOOK, DAY, MINUTE, START, asset, book_of, judge_of

from forestall.judge.check import check_pack, summarise
from forestall.judge.compliance import Demand, ReadText, check_text
from forestall.judge.judge import Judge
from forestall.judge.marked import PackMistakes
from forestall.judge.overrides import check_override
from forestall.judge.rules import Look
from forestall.judge.shelf import builtin_packs
from forestall.judge.values import JudgedText, RuleOverride, State

IOS = """version 15.2
enable secret 9 ‹secret 3f9a1c›
ip ssh version 2
interface Vlan1
 no ip address
ntp server 10.0.0.1
logging host 10.0.0.2
snmp-server community ‹secret 77aa01› RO 10
line con 0
 exec-timeout 15 0
line vty 0 4
 transport input ssh
line vty 5 15
 transport input ssh
end
"""
FORTI = """config system global
    set admintimeout 15
end
config system interface
    edit "wan1"
        set allowaccess ping https ssh
    next
end
config firewall policy
    edit 7
        set srcintf "wan1"
        set srcaddr "all"
        set dstaddr "all"
        set action deny
        set service "ALL"
    next
end
"""
ROUTEROS = (
    "/interface bridge\nadd name=lan\n/ip service\nset telnet disabled=yes\n"
    "/system ntp client\nset enabled=yes\n"
)
JUNOS = (
    "system {\n    host-name r1;\n    services {\n"
    "        ssh {\n            root-login deny;\n        }\n    }\n}\n"
)
JUNOS_SET = "set system host-name r1\nset system services ssh root-login deny\n"
SSHD = "Port 22\n#PermitRootLogin yes\nPermitRootLogin prohibit-password\n"
ASA = (
    "ASA Version 9.16\naccess-list out extended permit tcp any host 10.0.0.5 eq 443\nlogging host 10.0.0.2\n"
)
GOOD = (IOS, FORTI, ROUTEROS, JUNOS, JUNOS_SET, ASA)
BAD = [
    (IOS, " transport input ssh\nend", " transport input telnet ssh\nend", "vty-ssh-only",
     'the remote console does not ask for SSH: line 13 "line vty 5 15"'),
    (IOS, " exec-timeout 15 0", " exec-timeout 0 0", "vty-never-signs-out",
     'a console never signs out: line 10 "exec-timeout 0 0" under "line con 0"'),
    (IOS, "ip ssh version 2\n", "", "ssh-version-2", "SSH version 1 is not switched off"),
    (IOS, "secret 9", "secret 7", "enable-password-weak",
     'the enable password can be read back: line 2 "enable secret 7 ‹secret 3f9a1c›"'),
    (IOS, "interface", "username x privilege 15 password 7 y\ninterface", "user-password-weak", "read back"),
    (IOS, "interface", "ip http server\ninterface", "http-server-plain", 'line 4 "ip http server"'),
    (IOS, "RO 10", "RW", "snmp-writable", "an SNMP community may write"),
    (IOS, "77aa01›", "77aa01 default›", "secret-well-known",
     'is one that vendors ship: line 8 "snmp-server community ‹secret 77aa01 default› RO 10"'),
    (IOS, "ntp server", "ntq server", "ntp-set", "no time server is set"),
    (IOS, "logging host", "logging buffered", "logs-sent-away", "log lines stay on the device"),
    (ASA, "tcp any host 10.0.0.5 eq 443", "ip any any", "asa-any-to-any", "lets everything through: line 2"),
    (ASA, "logging", "telnet 10.0.0.0 255.0.0.0 inside\nlogging", "asa-telnet", "telnet is open: line 3"),
    (FORTI, "https ssh", "https http", "fortigate-plain-administration", 'line 6 "set allowaccess'),
    (FORTI, "deny", "accept", "fortigate-open-from-outside", 'line 14 "set action accept" under "edit 7"'),
    (FORTI, "timeout 15", "timeout 480", "fortigate-admin-timeout", "480 is more than 60"),
    (ROUTEROS, "disabled=yes", "port=2323", "routeros-telnet", "telnet is on"),
    (ROUTEROS, "/system ntp client", "/system ntp server", "routeros-ntp", "no time server is set"),
    (JUNOS, "ssh {", "telnet;\n        ssh {", "junos-telnet", 'line 4 "telnet;" under "services"'),
    (JUNOS_SET, "ssh root-login deny", "telnet", "junos-telnet", "telnet is open"),
    (JUNOS, "deny", "allow", "junos-root-by-ssh", 'under "ssh"'),
    (JUNOS_SET, "deny", "allow", "junos-root-by-ssh", "root may sign in by SSH"),
    (SSHD, "prohibit-password", "yes", "sshd-root-by-password", 'line 3 "PermitRootLogin yes"'),
    (SSHD, "Port 22", "permitemptypasswords yes", "sshd-empty-password", "an empty password signs in"),
]  # fmt: skip


def text(written: str, *, version: int = 1, kind: str = "running", **given_: Any) -> JudgedText:
    settings = {"asset": 5, "at_ms": START + version * MINUTE, "content": f"{hash(written):x}"} | given_
    return JudgedText(kind=kind, text=written, version=version, title="Running configuration", **settings)


def judge(kind: str = "switch", **given_: Any) -> Judge:
    return judge_of(asset(kind=kind, **given_))


@pytest.mark.parametrize("content", [*GOOD, ""])
def test_a_sound_configuration_breaks_no_rule(content: str) -> None:
    taken, result = judge().observe_text(text(content))
    assert (taken, result.broken) == ([], {})


def test_a_sound_sshd_breaks_no_rule() -> None:
    _, result = judge("server").observe_text(text(SSHD, kind="sshd_config"))
    assert result.broken == {} and "sshd-root-by-password" in result.held


@pytest.mark.parametrize(("good", "old", "new", "rule", "says"), BAD, ids=[one[3] for one in BAD])
def test_each_rule_of_the_pack_finds_what_it_is_for_and_nothing_else(
    good: str, old: str, new: str, rule: str, says: str
) -> None:
    kind, owner = ("sshd_config", judge("server")) if good is SSHD else ("running", judge())
    bad = good.replace(old, new)
    assert bad != good
    (taken,), result = owner.observe_text(text(bad, kind=kind))
    assert set(result.broken) == {rule} and says in result.broken[rule]
    assert (taken.rule, taken.to, taken.item, taken.tells) == (rule, State.DRIFTING, kind, False)
    assert says in taken.reason and "version 1" in taken.reason
    (ended,), result = owner.observe_text(text(good, version=2, kind=kind))
    assert (ended.to, result.broken) == (State.IN_SPEC, {}) and "version 2" in ended.reason


def test_every_rule_of_the_pack_is_driven() -> None:
    asked = {one.name for pack in BOOK.packs for one in pack.rules if one.look is Look.CONFIGURATION}
    assert asked == {one[3] for one in BAD}


SET_USERS = (
    "set system login user a class x\n"
    "set system login user a authentication y\nset system login user b class x\n"
)


def test_flat_set_lines_are_blocks_by_what_they_have_in_common() -> None:
    demand = Demand(within=r"^set system login user \S+", must=("authentication",))
    verdict = check_text(demand, ReadText(SET_USERS))
    assert not verdict.holds and verdict.lines == ((3, "set system login user b class x"),)


def rules(body: str) -> str:
    return (
        f"  - name: r\n    configuration: [running]\n    {body}\n    drifting: {{}}\n"
        "    why: It matters.\n    first: Mend it.\n"
    )


@pytest.mark.parametrize(
    ("body", "content", "reason"),
    [
        ("count: {of: '^ntp server', at_least: 2}", "ntp server a\n", "^ntp server, at least 2 are due"),
        ("count: {of: '^user', at_most: 1}", "user a\nuser b\n", "has 2 lines like ^user, 1 at most are due"),
        ("value: {of: '^ntp (?P<value>\\S+)', one_of: [a, b]}", "ntp c\n", "c is none of a and b"),
        ("value: {of: '^ntp server (?P<value>\\S+)', none_of: [c]}", "ntp server c\n", "c may not be there"),
        ("value: {of: '^mtu (?P<value>\\S+)', at_least: 1500}", "mtu 900\n", "900 is less than 1500"),
        ("value: {of: '^(l2 )?mtu (?P<value>\\S+)', at_least: 1500}", "mtu x\n", "x is no number"),
        ("must_contain: ['^a', '^b']", "a\n", "the configuration has no line like ^b"),
        ("must_not_contain: '^a'", "a 1\na 2\na 3\n", 'line 1 "a 1" and 2 more'),
    ],
)  # fmt: skip
def test_counts_values_and_what_must_and_must_not_be_there(body: str, content: str, reason: str) -> None:
    book = book_of(rules(body), "[switch]")
    judge = judge_of(asset(kind="switch"), book=book)
    _, result = judge.observe_text(text(content))
    assert reason in result.broken["r"]
    assert summarise(book.packs[0])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("if: '^a'", "demands nothing"),
        ("must_contain: '('", "no regular expression"),
        ("must_contain: []", "has 1 to"),
        ("within: [a, b]\n    must_contain: x", "is one regular expression"),
        ("count: {of: a}", "says how many"),
        ("count: 3", "is a table"),
        ("count: {of: a, at_most: many}", "is a number"),
        ("count: {off: a, at_most: 1}", "has no `off`"),
        ("value: {of: 'a (b)', one_of: [b]}", "does not say which part is the value"),
        ("value: {of: 'a (?P<value>b)'}", "does not say what it should be"),
        ("look_at: disk.used_ratio\n    must_contain: x", "looks at"),
    ],
)
def test_a_mistake_says_what_to_write(body: str, says: str) -> None:
    checked = check_pack("x.yaml", f"pack: x\nfor: [switch]\nrules:\n{rules(body)}")
    assert any(says in str(one) for one in checked.mistakes), checked.mistakes


def test_an_override_says_which_values_are_right_at_a_client() -> None:
    book = book_of(rules("value: {of: '^ntp server (?P<value>\\S+)', one_of: [a]}"), "[switch]")
    settings = {"value": {"one_of": ["c"]}}
    check_override(book, "r", settings)
    with pytest.raises(PackMistakes, match="no regular expression"):
        check_override(book, "r", {"must_contain": "("})
    own = judge_of(
        asset(kind="switch", overrides=(RuleOverride(rule="r", place="client", settings=settings),)),
        book=book,
    )
    assert own.observe_text(text("ntp server c\n"))[1].broken == {}
    assert set(own.observe_text(text("ntp server a\n", version=2))[1].broken) == {"r"}


def test_a_rule_with_tags_is_asked_of_tagged_assets_alone() -> None:
    book = book_of(rules("must_contain: '^a'\n    tags: [pci]"), "[switch]")
    assert judge_of(asset(kind="switch"), book=book).observe_text(text("b\n"))[1].broken == {}
    tagged = judge_of(asset(kind="switch", tags=("pci",)), book=book)
    assert set(tagged.observe_text(text("b\n"))[1].broken) == {"r"}


def test_drift_from_the_baseline_is_found_and_ends_with_it_or_with_a_new_one() -> None:
    drifted = {"content": "b" * 64, "baseline": "a" * 64, "baseline_version": 3, "drift": "+ x (+1 −0 lines)"}
    owner = judge("website")
    assert owner.observe_text(text("", content="b" * 64))[0] == []
    (taken,), _ = owner.observe_text(text("", version=4, **drifted))
    assert taken.rule == "left-baseline" and taken.to is State.DRIFTING
    assert "no longer like its baseline, version 3: + x (+1 −0 lines)" in taken.reason
    assert owner.observe_text(text("", version=5, **{**drifted, "content": "c" * 64}))[0] == []
    (ended,), result = owner.observe_text(text("", version=6, content="c" * 64, baseline="c" * 64))
    assert ended.to is State.IN_SPEC and result.held == ("left-baseline",)


def test_what_was_judged_is_remembered_over_a_restart_and_judged_again_when_the_spec_changes() -> None:
    bad = text(IOS.replace("ntp server", "ntq server"))
    first = judge()
    (opened,), _ = first.observe_text(bad)
    again = judge()
    assert again.restore(first.save(), now_ms=START + DAY) == []
    assert again.open.keys() == {opened.place}
    assert again.texts.is_judged(5, "running", content=bad.content, baseline="")
    assert not again.texts.is_judged(5, "running", content=bad.content, baseline="x")
    assert not again.texts.is_judged(5, "running", content="x", baseline="")
    assert again.texts.is_judged(5, "version", content="x", baseline="") is False, "left-baseline asks it"
    assert again.observe_text(bad)[0] == []
    off = RuleOverride(rule="ntp-set", place="asset", settings={"off": True})
    ended = again.set_estate([asset(kind="switch", overrides=(off,))], now_ms=START + DAY)
    assert [(one.rule, one.to) for one in ended] == [("ntp-set", State.IN_SPEC)]
    assert again.texts.stale and not again.texts.is_judged(5, "running", content=bad.content, baseline="")
    gone = again.set_estate([], now_ms=START + 2 * DAY)
    assert gone == [] and again.texts.judged == {}


@settings(deadline=None)
@given(st.text(), st.sampled_from([one for pack in BOOK.packs for one in pack.rules if one.demand]))
def test_any_text_gets_a_verdict(content: str, rule: Any) -> None:
    verdict = check_text(rule.demand, ReadText(content))
    assert verdict.holds or (verdict.reason and verdict.applies)


def test_the_packs_are_there() -> None:
    assert {"configuration.yaml", "network-compliance.yaml"} <= set(builtin_packs())
