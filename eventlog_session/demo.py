"""
A conversation that outlives its process: ``python -m eventlog_session.demo``.

An agent with two tools talks to a customer, a second process goes on where the first one stopped, and then the log tells what
was said, by which events, and what the agent had seen before it did something that can't be undone. Nothing but a SQLite file
is needed; with OPENAI_API_KEY set the agent is a real one, else its model is scripted.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any
from uuid import uuid4

from agents import Agent, AgentsException, Model, Runner, function_tool, set_tracing_disabled
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call
from openai import OpenAIError

from eventlog_session import EventLogError, EventLogSession, export

FIRST = ["Where is my order 1881?", "It arrived broken. Please refund it."]
SECOND = ["I closed the window by accident. Where were we?"]


# ---- an agent ----------------------------------------------------------------------------------------------------------


@function_tool
def look_up_order(number: int) -> str:
    """Look up an order by its number."""
    return f"order {number}: one teapot, 24.90 EUR, delivered on Monday"


@function_tool
def refund(number: int, reason: str) -> str:
    """Refund an order."""
    return f"refunded 24.90 EUR for order {number} ({reason})"


def support_desk(script: list[Any]) -> Agent:
    """Return the agent, on OpenAI's default model if there is a key and on *script* if not."""
    model: Model | None = None if os.environ.get("OPENAI_API_KEY") else ScriptedModel(script)
    return Agent(
        name="Support desk",
        instructions="You help customers of a tea shop. Look an order up before you talk about it. Be brief.",
        tools=[look_up_order, refund],
        model=model,
    )


async def first(session: EventLogSession) -> None:
    """Hold the conversation's first two turns."""
    desk = support_desk(
        [
            [function_call("look_up_order", {"number": 1881}, call_id="call_1")],
            [assistant_message("Your teapot was delivered on Monday.")],
            [function_call("refund", {"number": 1881, "reason": "broken"}, call_id="call_2")],
            [assistant_message("I am sorry! 24.90 EUR are on their way back to you.")],
        ]
    )
    for question in FIRST:
        await Runner.run(desk, question, session=session)
        print(f"  process {os.getpid()} answered {question!r}")


async def second(session: EventLogSession) -> None:
    """Go on in a process that has nothing but the store's address and the session's id."""

    def remember(call: ModelCall) -> list[Any]:
        done = [item["output"] for item in call.input if item.get("type") == "function_call_output"]
        return [assistant_message(f"We have {' and '.join(done)}. Anything else?")]

    desk = support_desk([ModelStep.respond(remember)])
    for question in SECOND:
        await Runner.run(desk, question, session=session)
        print(f"  process {os.getpid()} answered {question!r}")
    await session.add_items([{"role": "user", "content": "Oh, and one more th"}])
    await session.pop_item()
    print(f"  process {os.getpid()} took back a message sent too early; the log keeps it")


# ---- what the log says -------------------------------------------------------------------------------------------------


def lines_of(items: list[Any]) -> list[str]:
    """Return a conversation as lines: who, what; a tool's call and its result on one."""
    results = {item["call_id"]: item["output"] for item in items if item.get("type") == "function_call_output"}
    lines: list[str] = []
    for item in items:
        if item.get("type") == "function_call":
            result = results.get(item["call_id"], "(no result yet)")
            lines += paragraph("  tool", f"{item['name']}({item['arguments']}) -> {result}")
        elif "role" in item:
            content = item["content"]
            text = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
            lines += paragraph(item["role"], text)
    return lines


def paragraph(who: str, text: str) -> list[str]:
    """Return *text* wrapped beside *who*."""
    return textwrap.wrap(text, 92, initial_indent=f"  {who:<11}", subsequent_indent=" " * 13) or [f"  {who}"]


async def show(session: EventLogSession) -> None:
    """Print the conversation, the events that made it, and what it was before the refund."""
    view = await session.read()
    print(f"\nThe conversation: {len(view.items)} items at version {view.version}", *lines_of(view.items), sep="\n")

    print("\nThe events that made it\n  version  time          kind             items  length after")
    before_refund = 0
    async for event in export(session):
        version, kind, data = int(event.get_extension("sequence")), event.get_type().split(".")[-2], event.get_data()
        assert isinstance(data, dict)
        if not before_refund and any(item.get("name") == "refund" for item in data.get("items", [])):
            before_refund = version - 1
        noun = event.get_type().split(".")[-3]
        change = len(data.get("items", [])) - data.get("pops", 0)
        length = len((await session.at(version).read()).items)
        print(f"  {version:>7}  {event.get_time():%H:%M:%S.%f}"[:-3], f" {noun + ' ' + kind:<15}  {change:+5}  {length:>12}")

    if before_refund:  # a real model may have done without
        print(f"\nWhat had the agent seen before it gave the refund, at version {before_refund}?")
        print(*lines_of(await session.at(before_refund).get_items()), sep="\n")


# ---- the processes -----------------------------------------------------------------------------------------------------


async def run(url: str, session_id: str, part: Any) -> None:
    """Do one *part* of the demo on the session, opened for it and closed after it."""
    async with EventLogSession.from_url(session_id, url=url) as session:
        await part(session)


def demonstrate(url: str, session_id: str) -> None:
    """Do all of it, the second part in a process of its own."""
    who = (
        "OpenAI's default model" if os.environ.get("OPENAI_API_KEY") else "a scripted model (set OPENAI_API_KEY for a real one)"
    )
    print(f"A support desk with {who}\nSession {session_id!r} in {url}\n")
    asyncio.run(run(url, session_id, first))
    sys.stdout.flush()
    again = [sys.executable, "-m", "eventlog_session.demo", "--store", url, "--session", session_id, "--second"]
    subprocess.run(again, check=True)  # noqa: S603 this very program
    asyncio.run(run(url, session_id, show))


def main() -> int:
    """Run the demo as the command line says and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m eventlog_session.demo", description="A conversation that outlives its process."
    )
    parser.add_argument(
        "--store", metavar="URL", help="sqlite:///FILE or dapr://HOST:PORT/STATESTORE; a temporary file if not given"
    )
    parser.add_argument("--keep", action="store_true", help="keep the temporary file")
    parser.add_argument(
        "--session", metavar="ID", default=f"demo-{uuid4().hex[:8]}", help="the conversation; a new one if not given"
    )
    parser.add_argument("--second", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    set_tracing_disabled(True)
    if options.store and options.store.startswith("memory:"):
        parser.error("a second process can't see memory://; use sqlite:///FILE")
    folder = None if options.store else Path(tempfile.mkdtemp(prefix="eventlog-session-"))
    url = options.store or f"sqlite:///{folder}/conversations.db"
    try:
        if options.second:
            asyncio.run(run(url, options.session, second))
        else:
            demonstrate(url, options.session)
            if folder is None or options.keep:
                print(f"\nKept in {url}")
    except (EventLogError, AgentsException, OpenAIError, ValueError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        return 1  # it has said why
    finally:
        if folder is not None and not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
