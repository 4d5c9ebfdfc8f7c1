"""The declared type of a run's state: what it may be at first, and what steps may set (rule 8)."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Final, cast, final

from outlast import values
from outlast.errors import DefinitionError, Problem
from outlast.graph.annotation import name_of
from outlast.graph.fields import FieldInfo, field_schema, fields_of
from outlast.graph.patch import Operation, Patch, PatchVerb
from outlast.graph.reducer import Reducer, is_nullable, marks_beside, patch_type, reducer_of
from outlast.graph.schema import JSON, Schema
from outlast.graph.sensitive import Sensitive
from outlast.immutable import immutable
from outlast.sealing import current_disclosure, opened
from outlast.values import InvalidValueError, JsonValue, child_path, kind_of

__all__ = ["DELETE", "Delete", "StateType"]


class Delete(Enum):
    """Type of `DELETE`, for annotations."""

    DELETE = "DELETE"

    def __repr__(self) -> str:
        """Show it as authors write it."""
        return self.name


DELETE: Final = Delete.DELETE
"""`set_state({"draft": DELETE})` removes the field; it is what `None`, which sets null, does not do."""


@immutable(kw_only=True)
class _Field:
    """How patches set one declared field."""

    info: FieldInfo
    verb: PatchVerb
    schema: Schema[Any]
    """Of `{name: value}` in a patch."""
    reading: Schema[Any]
    """Of `{name: value}` in the state."""
    is_nullable: bool


@final
class StateType:
    """What is declared by `state=`: a pydantic model, a TypedDict or a dataclass; or nothing, then any object fits.

    With a declared type a patch may set its fields, by name or by alias; other fields are refused, whatever the type
    says of extra ones. `None` sets null where the type allows it, also in a field with a reducer.
    """

    __slots__ = ("_fields", "reducers", "schema")

    def __init__(self, schema: Schema[Any], fields: Iterable[_Field]) -> None:
        self.schema: Final = schema
        """Schema of the whole state; `JSON` if nothing is declared."""
        self._fields: Final = {name: field for field in fields for name in (field.info.name, field.info.key)}
        self.reducers: Final[Mapping[str, str]] = MappingProxyType(
            {field.info.key: field.verb.value for field in self._fields.values() if field.verb is not PatchVerb.REPLACE}
        )
        """Reducers by the field's key in JSON, as `{"log": "append"}`; fields that are replaced are left out."""

    @staticmethod
    def of(annotation: object) -> StateType:
        """Read a declared type. `None`, `Any` and `JsonValue` mean that nothing is declared.

        Raises:
            DefinitionError: It has no fields, a reducer cannot work, or a value of it cannot be recorded.
        """
        if annotation is None or annotation is inspect.Parameter.empty or Schema.of(annotation) is JSON:
            return StateType(JSON, ())
        fields = fields_of(annotation)
        return StateType(Schema.of(annotation), [_read_field(annotation, field) for field in fields])

    def to_json_schema(self) -> dict[str, JsonValue]:
        """Describe the initial state as JSON Schema; `{"type": "object"}` if nothing is declared."""
        return {"type": "object"} if self.schema.is_json else self.schema.to_json_schema("validation")

    def validate_initial(self, value: object) -> bytes:
        """Validate the whole state as it is at first, with defaults filled in, and encode it.

        Validators of the whole type run here and never again.

        Raises:
            InvalidValueError: It does not fit; every path is named.
        """
        raw = _admitted(self.schema, self.schema.encode(value))
        if not raw.startswith(b"{"):
            raise InvalidValueError([Problem("", f"a state is an object, this is {kind_of(value)}")])
        return raw

    def validate_patch(self, patch: Mapping[str, object]) -> Patch:
        """Validate what a step sets, field by field: with a reducer as what it takes, else as the declared type.

        Returns:
            The operations in the order of the patch. They share nothing with it.

        Raises:
            InvalidValueError: A field is unknown, its value does not fit, or a required one would be removed; all such
                fields are named.
        """
        if not isinstance(cast("object", patch), Mapping):
            reason = f"a patch is a dict of the fields to set, this is {kind_of(patch)}"
            raise InvalidValueError([Problem("", reason)])
        operations: list[Operation] = []
        problems: list[Problem] = []
        for name, value in patch.items():
            try:
                operations.append(self._operation(name, value))
            except InvalidValueError as error:
                problems.extend(error.problems)
        if problems:
            raise InvalidValueError(problems[: values.MAX_PROBLEMS])
        return tuple(operations)

    def decode(self, data: Mapping[str, JsonValue]) -> Any:  # noqa: ANN401 - the declared type
        """Return a state as its declared type, for reading.

        Each field is decoded by itself, so that validators of the whole type, which steps can break one patch at a
        time, do not run. A field that patches left in a shape that its type refuses is given as plain JSON.
        """
        if self.schema.is_json:
            return self.schema.decode(opened(values.encode(dict(data))))
        fields = {field.info.name: field for field in self._fields.values()}
        read = {name: _read_value(field, data) for name, field in fields.items() if field.info.key in data}
        return _construct(cast("type", self.schema.annotation), read)

    def check_part(self, part: StateType) -> list[str]:
        """Return what speaks against a step that declares `part` in a workflow that declares this.

        Steps that merge the same field in different ways would undo each other's work.
        """
        if self.schema.is_json:
            return []
        problems: list[str] = []
        for key in sorted({field.info.key for field in part._fields.values()}):
            ours, theirs = self.reducers.get(key, "replace"), part.reducers.get(key, "replace")
            if key not in self._fields:
                problems.append(f"state field '{key}' is not in {self.schema.name}{_suggest(key, self._fields)}")
            elif ours != theirs:
                problems.append(
                    f"state field '{key}' is merged by {theirs!r} in {part.schema.name} and by {ours!r} in "
                    f"{self.schema.name}; declare the same reducer in both"
                )
        return problems

    def _operation(self, name: str, value: object) -> Operation:
        if self.schema.is_json:
            field, path = None, child_path("", name) if isinstance(cast("object", name), str) else ""
        else:
            field, path = self._fields.get(name), child_path("", str(name))
            if field is None:
                reason = f"{self.schema.name} has no such field{_suggest(name, self._fields)}"
                raise InvalidValueError([Problem(path, reason)])
        key = field.info.key if field else name
        if value is DELETE:
            if field and field.info.is_required:
                raise InvalidValueError([Problem(path, f"{self.schema.name} requires it; set another value instead")])
            return Operation(_checked_key(key), PatchVerb.DELETE)
        if field is None:
            return Operation(key, PatchVerb.REPLACE, _one_value(_admitted(JSON, values.encode({name: value}))))
        if value is None and field.is_nullable:
            return Operation(key, PatchVerb.REPLACE)
        raw = field.schema.encode({field.info.name: value})
        is_computed = field.verb in _COMPUTING
        return Operation(key, field.verb, _one_value(raw if is_computed else _admitted(field.schema, raw)))

    def __repr__(self) -> str:
        """Show the declared type."""
        return f"StateType({self.schema.name})"


def _read_value(field: _Field, data: Mapping[str, JsonValue]) -> object:
    name = field.info.name
    raw = opened(values.encode({name: data[field.info.key]}))
    try:
        return field.reading.decode(raw)[name]
    except InvalidValueError:
        return _one_value(raw)


def _construct(kind: type, read: dict[str, object]) -> object:
    """Make an object of an object type without its validators, and without what a dataclass does after its init."""
    construct = getattr(kind, "model_construct", None)
    if construct is not None:
        return construct(**read)
    if not dataclasses.is_dataclass(kind):
        return read
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        if field.name in read:
            object.__setattr__(made, field.name, read[field.name])
        elif field.default is not dataclasses.MISSING:
            object.__setattr__(made, field.name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            object.__setattr__(made, field.name, field.default_factory())
    return made


def _read_field(owner: object, info: FieldInfo) -> _Field:
    reducer = reducer_of(info.annotation, info.metadata, f"field '{info.name}' of {name_of(owner)}")
    if reducer is not None:
        _check_seals(owner, info, reducer)
    reading = field_schema(owner, info)
    patched = _patch_annotation(reducer, info.annotation)
    return _Field(
        info=info,
        verb=PatchVerb.REPLACE if reducer is None else reducer.verb,
        schema=reading if patched is None else field_schema(owner, info, patched),
        reading=reading,
        is_nullable=is_nullable(info.annotation),
    )


def _check_seals(owner: object, info: FieldInfo, reducer: Reducer) -> None:
    """Refuse a reducer that would have to look into what is sealed: the core that merges has no keys."""
    whole = info.annotation if Sensitive not in info.metadata else Annotated[cast("Any", info.annotation), Sensitive]
    is_whole = Sensitive in marks_beside(whole)
    if is_whole or (reducer.verb in _COMPUTING and field_schema(owner, info).is_sensitive):
        message = (
            f"field '{info.name}' of {name_of(owner)} is sensitive, and {reducer!r} cannot merge what it cannot read; "
            "use Append, Extend or MergeDict with sensitive items, as list[Annotated[str, Sensitive]], or no reducer"
        )
        raise DefinitionError(message)


def _admitted(schema: Schema[Any], raw: bytes) -> bytes:
    """Seal again what a body was given sealed."""
    disclosure = current_disclosure()
    return raw if disclosure is None or schema.is_sensitive else disclosure.admit(raw)


_COMPUTING: Final = frozenset({PatchVerb.ADD, PatchVerb.MAX, PatchVerb.MIN, PatchVerb.UNION})
"""Verbs that compare or add what they merge, so that nothing in it can be sealed."""


def _patch_annotation(reducer: Reducer | None, annotation: object) -> object:
    """Return what a patch holds instead of the declared type; None if it holds that."""
    if reducer is None or reducer.verb in (PatchVerb.MAX, PatchVerb.MIN):
        return None  # each value may become the field's, so its bounds hold for it
    return patch_type(reducer, annotation)


def _one_value(raw: bytes) -> JsonValue:
    return next(iter(cast("dict[str, JsonValue]", values.decode(raw)).values()))


def _checked_key(key: str) -> str:
    values.encode({key: None})
    return key


def _suggest(name: object, known: Iterable[str]) -> str:
    near = get_close_matches(str(name), list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
