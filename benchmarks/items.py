"""
Items of conversations, by their number: the same in every run.

A *shape* is what a conversation's items are like. "330 B" and its like are a user's and the model's messages in turn, of
exactly that size as compact JSON. "mixed" is what a run of an agent leaves: questions, reasoning with the ciphertext that
the API hands out for it, calls of tools with what they returned, answers; sizes vary from 100 bytes to many thousand.
"""

import json
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from hashlib import blake2b
from pydoc_data.topics import topics
from random import Random
from typing import Any

ITEM_BYTES = 330
_PROSE = re.sub(r"[^ !#-\[\]-~]+", " ", " ".join(topics.values()))  # English that JSON needs no escapes for
_LAPS = 16
_KANJI = (
    "日本人国会年大十二時中一出三同者分行事社地自部場小手学新発目回金性政体立前後的業関間度員化文当約主題意対法現通高議作用連定戦"
    "理田実長気水山書見開問電話今週料品店員注届届送返配住所番号確認予変更客様件登録情報"
)
_KANA = "のにはをがでとしてれさあるいもするからなことまたよりへかられたりるんそうですますくだけどこおねがってもし"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the items of a history are like. *make* gives the item at a number."""

    name: str
    make: Callable[[int], Any]

    def history(self, size: int) -> list[Any]:
        """Return the first *size* items."""
        return [self.make(number) for number in range(size)]


def compact(value: Any) -> str:
    """Return *value* as the JSON that `DaprSession` writes."""
    return json.dumps(value, separators=(",", ":"))


@cache
def _prose(lap: int) -> str:
    """
    Return half a megabyte of English: the text itself, and for every further *lap* its words in another order.

    Else what is compressed together would hold the same text again, and compress better than conversations do.
    """
    words = _PROSE.split(" ")
    if lap:
        Random(lap).shuffle(words)
    return " ".join(words)


@cache
def message(number: int, size: int = ITEM_BYTES) -> Any:
    """Return a user's message or the model's, of *size* bytes as compact JSON."""
    room = size - len(compact(_message(number, "")))
    lap, start = divmod(number * size, len(_PROSE) - size)
    return _message(number, _prose(lap % _LAPS)[start : start + room])


def _message(number: int, text: str) -> Any:
    return _user(text) if number % 2 == 0 else _assistant(_name("msg_", number), text)


def _user(text: str) -> Any:
    return {"content": text, "role": "user"}


def _assistant(name: str, text: str) -> Any:
    content = [{"annotations": [], "text": text, "type": "output_text", "logprobs": []}]
    return {"id": name, "content": content, "role": "assistant", "status": "completed", "type": "message"}


def _name(prefix: str, number: int) -> str:
    return prefix + blake2b(b"%d" % number, digest_size=24).hexdigest()


@cache
def mixed(number: int, language: str) -> Any:
    """Return an item of an agent's run of eight items: a question, two calls of a tool, thoughts before them, an answer."""
    chance = Random(f"{language} {number}")
    write = partial(_japanese if language == "Japanese" else _english, chance)
    match number % 8:
        case 0:
            return _user(write(_length(chance, 120, 2_000)))
        case 1 | 4:
            return _reasoning(chance, number, write(_length(chance, 160, 1_000)))
        case 2 | 5:
            return _call(chance, number, write(_length(chance, 40, 400)))
        case 3 | 6:
            return _output(chance, number - 1, write)
        case _:
            return _assistant(_name("msg_", number), write(_length(chance, 700, 5_000)))


def _length(chance: Random, typical: int, most: int) -> int:
    """Return a number of characters: half are below *typical*, few are long."""
    return min(most, 1 + int(chance.lognormvariate(0, 0.9) * typical))


def _english(chance: Random, length: int) -> str:
    start = chance.randrange(len(_PROSE) - length)
    return _prose(chance.randrange(_LAPS))[start : start + length]


def _japanese(chance: Random, length: int) -> str:
    """Return words of one to three kanji with kana after them, and a stop now and then."""
    text = ""
    while len(text) < length:
        text += "".join(chance.choices(_KANJI, k=chance.randint(1, 3)) + chance.choices(_KANA, k=chance.randint(1, 4)))
        text += chance.choices(("", "、", "。"), (12, 2, 1))[0]
    return text[:length]


def _reasoning(chance: Random, number: int, summary: str) -> Any:
    sealed = b64encode(chance.randbytes(_length(chance, 600, 4_000))).decode()
    content = [{"text": summary, "type": "summary_text"}]
    return {"id": _name("rs_", number), "summary": content, "type": "reasoning", "encrypted_content": sealed}


def _call(chance: Random, number: int, query: str) -> Any:
    arguments = compact({"query": query, "limit": chance.randint(1, 50)})
    call = {"arguments": arguments, "call_id": _name("call_", number), "name": "search_orders", "type": "function_call"}
    return {**call, "id": _name("fc_", number), "status": "completed"}


def _output(chance: Random, call: int, write: Callable[[int], str]) -> Any:
    """Return what a tool returned: rows as JSON in a string, or just a word."""
    rows = [
        {"order": chance.randrange(10**6), "total": chance.randrange(10**5) / 100, "note": write(_length(chance, 60, 600))}
        for _ in range(min(40, int(chance.lognormvariate(1, 1.1))))
    ]
    output = json.dumps(rows, ensure_ascii=False) if rows else "none found"
    return {"call_id": _name("call_", call), "output": output, "type": "function_call_output"}


PLAIN = Shape(f"{ITEM_BYTES} B", message)
SHAPES = (
    PLAIN,
    Shape("2 kB", partial(message, size=2_000)),
    Shape("64 kB", partial(message, size=64_000)),
    Shape("mixed, English", partial(mixed, language="English")),
    Shape("mixed, Japanese", partial(mixed, language="Japanese")),
)
