"""``python -m eventlog_session`` is ``eventlog-session``."""

from .cli import main

if __name__ == "__main__":
    main()
