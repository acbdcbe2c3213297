"""
The commit protocol under faults, in virtual time: everything that happens follows from a profile and a seed.

`world` is the machine room: the network and the store that processes share; `process` is one of those, `drawing` what they are
to do, `schedule` has them do it and has everything befall them. `history` records what was called, `ledger` what the store
took, `left` is the log that is there at the end, and `judge` checks each against the others. `campaign` runs many schedules and
adds up.
"""
