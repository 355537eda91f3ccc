"""Polling of devices by SNMP: sessions, profiles (data files), counters. `collect.probes.snmp` asks with it."""
