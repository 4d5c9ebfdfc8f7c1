"""Seeds and the references in them as JSON and back: part of what `run-rewound` records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never, cast

from outlast.core.commands import Resumption
from outlast.core.ref import Constant, DictOf, Item, ListOf, Recorded, Ref
from outlast.core.seed import Seed
from outlast.values import JsonValue, decode, encode

__all__ = [
    "ref_from_json",
    "ref_to_json",
    "resumption_from_json",
    "resumption_to_json",
    "seed_from_json",
    "seed_to_json",
]


def seed_to_json(seed: Seed) -> dict[str, JsonValue]:
    """Return the stored form. What is empty is left out."""
    fields: dict[str, JsonValue] = {
        "kept": {path: ref_to_json(ref) for path, ref in seed.kept.items()},
        "given": list(seed.given),
        "bailed": list(seed.bailed),
        "skipped": list(seed.skipped),
        "positions": dict(seed.positions),
        "passes": dict(seed.passes),
        "answers": dict(seed.answers),
        "inputs": {path: ref_to_json(ref) for path, ref in seed.inputs.items()},
        "resumptions": {path: resumption_to_json(each) for path, each in seed.resumptions.items()},
        "unchecked": list(seed.unchecked),
    }
    return {name: value for name, value in fields.items() if value}


def seed_from_json(value: JsonValue) -> Seed:
    """Return the seed of a stored form that `seed_to_json` made, in this version or an earlier one."""
    fields = _object(value)
    return Seed(
        kept={path: ref_from_json(ref) for path, ref in _object(fields.get("kept")).items()},
        given=_texts(fields.get("given")),
        bailed=_texts(fields.get("bailed")),
        skipped=_texts(fields.get("skipped")),
        positions=_numbers(fields.get("positions")),
        passes=_numbers(fields.get("passes")),
        answers=_numbers(fields.get("answers")),
        inputs={path: ref_from_json(ref) for path, ref in _object(fields.get("inputs")).items()},
        resumptions={path: resumption_from_json(each) for path, each in _object(fields.get("resumptions")).items()},
        unchecked=_texts(fields.get("unchecked")),
    )


def ref_to_json(ref: Ref) -> JsonValue:
    """Return the stored form of a reference."""
    match ref:
        case Recorded(seq=seq):
            return seq
        case Item(of=of, index=index):
            return {"item": [ref_to_json(of), index]}
        case ListOf(items=items):
            return {"list": [ref_to_json(each) for each in items]}
        case DictOf(items=pairs):
            return {"dict": [[key, ref_to_json(each)] for key, each in pairs]}
        case Constant(raw=raw):
            return {"value": decode(raw)}
        case _:
            assert_never(ref)


def ref_from_json(value: JsonValue) -> Ref:
    """Return the reference that `ref_to_json` stored."""
    if isinstance(value, int):
        return Recorded(value)
    ((kind, operand),) = _object(value).items()
    if kind == "value":
        return Constant(encode(operand))
    parts = cast("list[JsonValue]", operand)
    match kind:
        case "item":
            return Item(ref_from_json(parts[0]), cast("int", parts[1]))
        case "list":
            return ListOf(tuple(ref_from_json(each) for each in parts))
        case "dict":
            pairs = cast("list[list[JsonValue]]", parts)
            return DictOf(tuple((str(key), ref_from_json(each)) for key, each in pairs))
        case _:
            message = f"'{kind}' is no kind of reference"
            raise ValueError(message)


def resumption_to_json(resumption: Resumption) -> JsonValue:
    """Return the stored form of a resumption."""
    data = resumption.resume_data
    return [ref_to_json(resumption.suspend_payload), None if data is None else ref_to_json(data)]


def resumption_from_json(value: JsonValue) -> Resumption:
    """Return the resumption that `resumption_to_json` stored."""
    payload, data = cast("list[JsonValue]", value)
    return Resumption(ref_from_json(payload), None if data is None else ref_from_json(data))


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _numbers(value: JsonValue) -> dict[str, int]:
    return cast("dict[str, int]", dict(_object(value)))


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(cast("list[str]", value)) if isinstance(value, list) else ()
