"""Chaos: real faults on a real daprd with real Redis and PostgreSQL, and a checker of what was promised.

An acknowledged change is in the history exactly once; one that raised is there once or not at all, and the error says which
or says that it is unknown; what was read once at a version reads the same for ever. `python -m chaos` runs it long.

Parts: `Proxy` breaks connections, `Stage` is a rig whose every wire runs through one, `nemesis` kills and pauses, `crew` are
the writers (processes), `checker` compares what they were told with what the log holds.
"""
