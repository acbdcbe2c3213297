"""
The commit protocol under faults, in virtual time: everything that happens follows from a profile and a seed.

`world` is the machine room: processes, their network, the store they share. `schedule` draws what they do and what befalls
them. `history` records it and checks it against the log that is left. `campaign` runs many schedules and adds up.
"""
