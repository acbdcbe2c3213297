"""
How a log is kept: what is there (heads, reader), what to write (propose), what became of it (commit), and keeping house.

``adoption``: what a `DaprSession` left. ``lane``: one queue for each session. ``sweep``, ``renew``: in the background.
``erase``, ``verify``: of the whole.
"""
