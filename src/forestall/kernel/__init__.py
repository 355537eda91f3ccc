"""The ground that every room stands on: identifiers, time, observations, plug-ins, words. No framework."""
