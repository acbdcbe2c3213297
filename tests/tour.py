"""
Every command on one story, as it looks on a terminal: what the README shows, and ``make readme`` renews.

The README's copy is compared with a fresh run by ``tests/test_readme.py``, but for times and random ids.
"""

import asyncio
import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import Any

import orjson

import eventlog_session
from eventlog_session import EventLog, SQLiteStore
from eventlog_session.stores.base import Put

RUNS = ("trace_9f3c21ab" + "0" * 24, "trace_b02e77c1" + "0" * 24)
COMMANDS = """
log support-42
show support-42 --at 3
tag support-42 lost --at 3
rewind support-42 run:b02e
diff support-42 5; echo $?
log support-42 -n 3
undo support-42
redo support-42
undo support-42 -n 2 --dry-run
log support-42 --kind added | cut -f 1,3-
show support-42 --event 1
fork support-42 support-42-b --at tag:lost
export support-42 -f support-42.jsonl
export support-42 --to tag:lost | wc -l
import support-42.jsonl --as support-42-copy
verify support-42
keys support-42
migrate --ids-from ids --dry-run
migrate --ids-from ids
migrate old-1 --to single-key
erase support-42-copy --grace 0
log suport-42; echo $?
log support-42 --store dapr://localhost:1/statestore; echo $?
"""
TYPED = {"to erase it: ": "support-42-copy\n"}
"""What is typed when a command asks."""
WIDTH = 110


def user(text: str) -> Any:
    """What a user says."""
    return {"role": "user", "content": text}


def said(text: str) -> Any:
    """What the agent says."""
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


async def story(path: Path) -> None:
    """Have the conversation that is looked at, and two that a DaprSession left."""
    store = SQLiteStore.open(path)
    log = EventLog.of(store, "support-42")
    call = {"type": "function_call", "name": "look_up", "arguments": '{"id":1881}', "call_id": "call_7f"}
    output = {"type": "function_call_output", "call_id": "call_7f", "output": '{"status":"lost"}'}
    said_so = [user("Where is my order 1881?")], [call, output], [said("It was lost. Shall I resend it?")]
    went_on = [user("Yes")], [said("Done: it arrives tomorrow.")]
    for run, items in (*((0, items) for items in said_so), *((1, items) for items in went_on)):
        await log.add(orjson.dumps(items), len(items), extensions={"agentstraceid": RUNS[run]})
    for name in ("old-1", "old-2"):
        entries = [json.dumps(item, separators=(",", ":")) for item in (user("Hello"), said("Hello, you"))]
        await store.put_many([Put(f"{name}:messages", json.dumps(entries).encode())])
    await log.settle()
    await store.close()


def tour() -> str:
    """Return what the commands print, each after its own line."""
    with tempfile.TemporaryDirectory() as directory:
        there = Path(directory)
        asyncio.run(story(there / "support.db"))
        (there / "ids").write_text("old-1\nold-2\nold-3\n")
        shown = ["$ export EVENTLOG_SESSION_STORE=sqlite:///support.db"]
        for line in COMMANDS.strip().splitlines():
            text = shown_on_a_terminal(f"eventlog-session {line}", there)
            shown.append(f"$ eventlog-session {line}\n{text}".rstrip())
        return "\n".join(shown) + "\n"


def shown_on_a_terminal(line: str, directory: Path) -> str:
    """Return what a shell's command line prints on a terminal, without colours."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DAPR_") and name != "COLUMNS"}
    shell = {"EVENTLOG_SESSION_STORE": "sqlite:///support.db", "TERM": "dumb", "TZ": "UTC"}
    environment = {**ours, **shell, "PYTHONPATH": str(Path(eventlog_session.__file__).parents[1])}
    script = f'eventlog-session() {{ {shlex.quote(sys.executable)} -P -m eventlog_session "$@"; }}; {line}'
    child = subprocess.Popen(
        ["bash", "-c", script], stdin=follower, stdout=follower, stderr=follower, cwd=directory, env=environment
    )
    os.close(follower)
    said = b""
    asked = dict(TYPED)
    while more := _more(leader):
        said += more
        for question in [question for question in asked if said.decode(errors="replace").endswith(question)]:
            os.write(leader, asked.pop(question).encode())
    child.wait()
    os.close(leader)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode()).replace("\r\n", "\n")
    return "\n".join(line.rstrip() for line in plain.splitlines())


def _more(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:  # the other end is closed
        return b""


def masked(text: str) -> str:
    """Return *text* without what differs from run to run: times, ids, digests, the bytes that they take."""
    text = re.sub(r"(\d{4}-\d\d-\d\d[ T])?\d\d:\d\d:\d\d(\.\d+)?(Z|\+\d\d:\d\d)?", "TIME", text)
    text = re.sub(r":(e|s|n|p):[a-z2-7]+", r":\1:ID", text)
    text = re.sub(r'"(id|traceparent)": "[^"]+"', r'"\1": "ID"', text)
    text = re.sub(r"\d+ bytes", "BYTES", re.sub(r"(head|event) +\d+$", r"\1 BYTES", text, flags=re.MULTILINE))
    return re.sub(r" +", " ", text)


if __name__ == "__main__":
    sys.stdout.write(tour())
