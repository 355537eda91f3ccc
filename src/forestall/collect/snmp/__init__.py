"""Polling of devices by SNMP for `collect.probes.snmp`: sessions, profiles (data files), counters."""
