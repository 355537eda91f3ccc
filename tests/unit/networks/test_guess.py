"""What a device probably is, and the words for it."""

import pytest

from forestall.networks.guess import guess


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"description": "Cisco IOS Software, C2960X", "vendor": "Cisco Systems, Inc", "ports": [22, 23]},
         "switch", "answers SNMP as Cisco IOS Software, C2960X; MAC is of Cisco Systems, Inc; ports 22"),
        ({"description": "FortiGate-60F"}, "firewall", "FortiGate"),
        ({"description": "Linux 5.10", "forwards": True, "by": ["snmp"]}, "router", "forwards packets"),
        ({"description": "Linux 5.10", "switches": True}, "switch", "tells a forwarding table"),
        ({"ports": [9100]}, "printer", "port 9100"),
        ({"ports": [135, 445]}, "workstation", "ports 135"),
        ({"ports": [135, 445], "names": ["srv-dc1"]}, "server", "ports 135"),
        ({"by": ["ping"]}, "other", "known by a ping alone"),
    ],
)  # fmt: skip
def test_a_guess_says_why(given, kind, words):
    found = guess(**given)
    assert found.kind == kind and words in found.reason
