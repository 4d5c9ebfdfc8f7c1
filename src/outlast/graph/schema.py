"""Declared types as the engine uses them: values in, JSON out, and back. The only module that knows pydantic."""

from __future__ import annotations

import copy
import inspect
import json
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache, partial
from itertools import islice
from typing import Any, ClassVar, Final, Generic, Literal, TypeAlias, TypeVar, cast, final, get_args

import pydantic
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import (
    PydanticSerializationUnexpectedValue,
    SchemaSerializer,
    SchemaValidator,
    core_schema,
    to_json,
    to_jsonable_python,
)

from outlast import values
from outlast.errors import DefinitionError, Problem
from outlast.graph.annotation import holds, is_plain, name_of, why_unrecordable
from outlast.graph.lossless import find_losses, find_unwritable
from outlast.graph.problem import ErrorDetail, render_problem
from outlast.graph.sensitive import is_sensitive, models_in, with_seals
from outlast.graph.typed_dict import close_typed_dicts
from outlast.sealing import Disclosure, has_seals, needed_disclosure, opened
from outlast.values import InvalidValueError, JsonValue

__all__ = ["JSON", "Mode", "Schema"]

T_co = TypeVar("T_co", covariant=True)

Mode: TypeAlias = Literal["validation", "serialization"]
"""Which side of a type a JSON schema describes: what it takes, or what it gives."""

_NOTHING: Final = object()
_DEEP: Final = Problem("", f"nested deeper than {values.MAX_DEPTH} levels; each list and each object is one")
_UNDECLARED: Final = (Any, object, inspect.Parameter.empty, pydantic.JsonValue)  # our JsonValue is Any at run time


class Schema(Generic[T_co]):
    """A declared type. Immutable; one object per annotation, made by `Schema.of`."""

    is_sensitive: ClassVar[bool] = False
    """Whether values of it hold something that is recorded encrypted."""

    __slots__ = (
        "_adapter",
        "_described",
        "_dump",
        "_load",
        "_suspect",
        "_validate",
        "_warnings",
        "annotation",
        "is_json",
        "name",
    )

    def __init__(
        self,
        annotation: object,
        adapter: pydantic.TypeAdapter[Any] | None,
        *,
        dump: Callable[..., bytes] | None = None,
    ) -> None:
        self.annotation: Final = annotation
        """The annotation that it was made of."""
        self.is_json: Final = adapter is None
        """Whether nothing is declared, so that any JSON value fits."""
        self.name: Final = "JSON" if adapter is None else name_of(annotation)
        """How messages call it: `int`, `list[Order]`, `JSON`."""
        self._adapter: Final = adapter
        self._described: Final[dict[tuple[Mode, type[GenerateJsonSchema]], dict[str, JsonValue]]] = {}
        # What in an encoding asks for a closer look although what came back is equal. Times of day are equal without
        # their zone: of a type that holds them, every encoding has the empty text in it.
        self._suspect: Final = b"" if adapter is not None and holds(adapter.core_schema, "time") else b"Infinity"
        if adapter is not None:
            # The bound methods of the compiled validator: the adapter's own cost half a microsecond more each.
            closed = close_typed_dicts(adapter.core_schema)
            validator = adapter.validator if closed is None else SchemaValidator(cast("Any", closed))
            self._validate: Final = validator.validate_python
            self._load: Final = adapter.validator.validate_json
            write = dump or adapter.serializer.to_json
            may_be_deep = holds(adapter.core_schema, "definition-ref", "any")
            self._dump: Final = partial(_write_shallow, write) if may_be_deep else write
            # A plain value is what the serialiser expects. To say "error" to it costs half of `encode` all the same.
            self._warnings: Final[bool | Literal["error"]] = is_plain(adapter.core_schema) or "error"

    def __repr__(self) -> str:
        return f"Schema({self.name})"

    @staticmethod
    def of(annotation: object) -> Schema[Any]:
        """Give the schema of an annotation, the same object each time if the annotation is hashable.

        No annotation (`inspect.Parameter.empty`), `Any`, `object` and `JsonValue` all mean `JSON`.

        Raises:
            DefinitionError: no value of the type can be recorded; the message says what to declare instead.
        """
        if any(annotation is same for same in _UNDECLARED):
            return JSON
        try:
            # `int | str` equals `str | int` and hashes like it, yet pydantic tries the members in order.
            return _schema_of(annotation, repr(annotation))
        except TypeError:
            return _schema_of.__wrapped__(annotation, "")

    @staticmethod
    def json() -> Schema[Any]:
        """Give the schema of what has no annotation."""
        return JSON

    def encode(self, value: object) -> bytes:
        """Validate a value and encode it as compact JSON.

        Guarantees that `decode` gives the value back as it was validated: nothing is dropped or converted silently.

        Raises:
            InvalidValueError: it does not fit the type, or JSON cannot hold it; every path is named.
        """
        if self.is_json:
            return values.encode(value)
        validated = _NOTHING
        try:
            validated = self._validate(value)
            raw = self._dump(validated, by_alias=True, warnings=self._warnings)
            back = self._load(raw)
            if back == validated and raw.find(self._suspect) < 0:
                return raw
            return self._encode_unequal(validated, raw, back)
        except InvalidValueError:
            raise
        except Exception as error:  # validators, serialisers and comparisons are user code
            raise InvalidValueError(self._explain(error, value, validated)) from error

    def decode(self, raw: bytes) -> T_co:
        """Decode what `encode` gave. Every call gives fresh objects.

        Raises:
            InvalidValueError: the bytes are not JSON, or do not fit the type.
        """
        if self.is_json or _may_hold_no_json(raw):
            decoded = values.decode(raw)
            if self.is_json:
                return cast("T_co", decoded)
        try:
            return cast("T_co", self._load(raw))
        except Exception as error:  # validators are user code
            raise InvalidValueError(_problems(error, _plain(raw))) from error

    def to_json_schema(self, mode: Mode) -> dict[str, JsonValue]:
        """Describe the type as JSON Schema, with aliases; `{}` for `JSON`. The result is the caller's own.

        Raises:
            DefinitionError: a hook of the type that describes it raised.
        """
        return self._describe(mode, _Description)

    def shape(self, mode: Mode) -> dict[str, JsonValue]:
        """Describe the type as JSON Schema that claims only what is certain, for proofs.

        Where user code decides (validators before or around the type, serialisers without a return type) it says
        nothing; of a model it says which fields are always written, and that no others are.

        Raises:
            DefinitionError: a hook of the type that describes it raised.
        """
        return self._describe(mode, _Shape)

    def _describe(self, mode: Mode, generator: type[GenerateJsonSchema]) -> dict[str, JsonValue]:
        if self._adapter is None:
            return {}
        if (mode, generator) not in self._described:
            try:
                described = self._adapter.json_schema(by_alias=True, mode=mode, schema_generator=generator)
            except Exception as error:  # `__get_pydantic_json_schema__` is user code
                message = f"{self.name} cannot be described as JSON Schema: {error}; mend the hook that describes it"
                raise DefinitionError(message) from error
            self._described[mode, generator] = described
        return copy.deepcopy(self._described[mode, generator])

    def _encode_unequal(self, validated: object, raw: bytes, back: object) -> bytes:
        """Judge an encoding that came back unequal: fine if nothing was lost and a second encoding is the same."""
        if _may_hold_no_json(raw):
            values.encode(_plain(raw))
        problems = list(islice(find_losses(validated, back), values.MAX_PROBLEMS))
        again = self._dump(back, by_alias=True, warnings="error")
        if not problems and again != raw and sorted(again) != sorted(raw):  # sorted: sets have no order
            problems.append(Problem("", "it does not come back as it was: encoding it again gives other JSON"))
        if problems:
            raise InvalidValueError(problems)
        return raw

    def _explain(self, error: Exception, value: object, validated: object) -> list[Problem]:
        """Find out why `encode` failed, with paths where there are any."""
        if validated is _NOTHING:
            return _problems(error, value)
        raw = b"null"
        try:
            found = list(islice(find_unwritable(validated, _why_unwritable), values.MAX_PROBLEMS))
            if found:
                return found
            raw = self._dump(validated, by_alias=True, warnings=False)
            found = list(islice(find_losses(validated, self._load(raw)), values.MAX_PROBLEMS))
        except Exception as second:  # noqa: BLE001  (user code, as in `encode`)
            return _problems(second, _plain(raw), "its encoding cannot be read back: ")
        return found or _problems(error, value)


@final
class _SensitiveSchema(Schema[T_co]):
    """A declared type of which some parts are recorded sealed. Plain types pay nothing for it.

    What its problems say is in words of pydantic's own, which hold no values.
    """

    is_sensitive: ClassVar[bool] = True

    __slots__ = ("_dump_sealed",)

    def __init__(self, annotation: object, adapter: pydantic.TypeAdapter[Any]) -> None:
        self._dump_sealed: Final = _sealing_serializer(adapter.core_schema).to_json
        super().__init__(annotation, adapter, dump=partial(self._dump_sealed, context=_IN_CLEAR))

    def encode(self, value: object) -> bytes:
        """Validate a value and encode it as compact JSON with its sensitive parts sealed; else as any type.

        Raises:
            InvalidValueError: It does not fit the type, or JSON cannot hold it; every path is named.
            ConfigurationError: No workflow that declares such a type is at work here, so there are no keys.
        """
        disclosure = needed_disclosure()
        try:
            validated = self._validate(value)
            clear = self._dump(validated, by_alias=True, warnings=self._warnings)
            back = self._load(clear)
            if back != validated or self._suspect in clear:
                self._encode_unequal(validated, clear, back)
            raw = self._dump_sealed(validated, by_alias=True, warnings=False, context=disclosure)
        except InvalidValueError as error:
            raise InvalidValueError(
                [Problem(each.path, f"it would be changed, {_VEIL}") for each in error.problems]
            ) from None
        except Exception as error:  # noqa: BLE001  (validators, serialisers and comparisons are user code)
            raise InvalidValueError(_veiled_problems(error, value)) from None
        if has_seals(clear):
            raise InvalidValueError([Problem("", "it holds a text in the form of sealed values, which is reserved")])
        return disclosure.reseal(raw)

    def decode(self, raw: bytes) -> T_co:
        """Open and decode what `encode` gave. Every call gives fresh objects.

        Raises:
            InvalidValueError: The bytes are not JSON, or do not fit the type.
            SealError: A sensitive part cannot be opened with the keys at hand.
        """
        clear = opened(raw)
        if _may_hold_no_json(clear):
            values.decode(clear)
        try:
            return cast("T_co", self._load(clear))
        except Exception as error:  # noqa: BLE001  (validators are user code)
            raise InvalidValueError(_veiled_problems(error, _plain(clear))) from None


def _may_hold_no_json(raw: bytes) -> bool:
    """Say whether a text may hold what pydantic takes for numbers and JSON does not.

    `find`, here and around, because it is called for every value: `in` first takes the part for a number, and words an
    error that nobody sees.
    """
    return raw.find(b"NaN") >= 0 or raw.find(b"Infinity") >= 0


_IN_CLEAR: Final = object()
"""Asks the serialiser of a sensitive type for what it would seal, to see whether anything is lost."""
_building: Final = threading.Lock()


def _sealing_serializer(core_schema: object) -> SchemaSerializer:
    """Compile the serialiser of a sensitive type.

    Pydantic takes the serialiser of a class that it finds in a type, instead of compiling what the type says, unless
    the class is marked as unfinished. So the classes in the type are, for the moment that the compiling takes.
    """
    changed = with_seals(core_schema, _seal, _seal_secret)
    with _building:
        finished = [each for each in models_in(core_schema) if vars(each).get("__pydantic_complete__")]
        try:
            for each in finished:
                each.__pydantic_complete__ = False
            return SchemaSerializer(cast("Any", changed))
        finally:
            for each in finished:
                each.__pydantic_complete__ = True


JSON: Final[Schema[Any]] = Schema(Any, None)
"""The schema of what has no annotation: any JSON value."""


class _Description(GenerateJsonSchema):
    """JSON Schema for people: a part that has none is described as anything, instead of failing."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  (declared so by pydantic)

    def handle_invalid_for_json_schema(self, schema: object, error_info: str) -> dict[str, Any]:
        return {}


class _Shape(_Description):
    """JSON Schema for proofs: see `Schema.shape`."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> dict[str, Any]:
        return {} if self._takes_anything(schema) else super().function_before_schema(schema)

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> dict[str, Any]:
        return {} if self._takes_anything(schema) else super().function_wrap_schema(schema)

    def named_tuple_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:  # it takes a list and an object
        return {} if self.mode == "validation" else super().named_tuple_schema(cast("Any", schema))

    def call_schema(self, schema: core_schema.CallSchema) -> dict[str, Any]:  # a named tuple, before pydantic 2.14
        return {}

    def enum_schema(self, schema: core_schema.EnumSchema) -> dict[str, Any]:
        bases = schema["cls"].__mro__
        converts = any("_missing_" in vars(base) for base in bases if base is not Enum)  # user code, may take anything
        return {} if converts and self.mode == "validation" else super().enum_schema(schema)

    def decimal_schema(
        self, schema: core_schema.DecimalSchema
    ) -> dict[str, Any]:  # a numeric string is a number to all
        return {"type": ["string", "number"]}

    def complex_schema(self, schema: core_schema.ComplexSchema) -> dict[str, Any]:  # takes numbers too
        return {"type": ["string", "number"]}

    def ser_schema(self, schema: Mapping[str, Any]) -> dict[str, Any] | None:
        described = super().ser_schema(cast("Any", schema))
        module = str(getattr(schema.get("function"), "__module__", "pydantic"))
        return {} if described is None and not module.startswith("pydantic.") and "function" in schema else described

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        return self._closed(super().model_schema(schema))

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> dict[str, Any]:
        return self._closed(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> dict[str, Any]:
        return self._closed(super().typed_dict_schema(schema))

    def field_is_required(self, field: Mapping[str, Any], total: bool) -> bool:  # noqa: FBT001  (pydantic's signature)
        if field["type"] == "typed-dict-field":
            return super().field_is_required(cast("Any", field), total) and self._has_one_name(field)
        if self.mode == "serialization":
            return not field.get("serialization_exclude") and not field.get("serialization_exclude_if")
        return field["schema"]["type"] != "default" and self._has_one_name(field)

    def model_field_schema(self, schema: core_schema.ModelField) -> dict[str, Any]:
        return super().model_field_schema(schema) if self._has_one_name(schema) else {}

    def dataclass_field_schema(self, schema: core_schema.DataclassField) -> dict[str, Any]:
        return super().dataclass_field_schema(schema) if self._has_one_name(schema) else {}

    def _takes_anything(self, schema: Mapping[str, Any]) -> bool:
        return self.mode == "validation" and not schema.get("json_schema_input_schema")

    def _closed(self, described: dict[str, Any]) -> dict[str, Any]:
        """Say of an object with fields that it writes no others, unless the type says otherwise."""
        if self.mode == "serialization" and "properties" in described:
            described.setdefault("additionalProperties", False)
        return described

    def _has_one_name(self, field: Mapping[str, Any]) -> bool:
        """Whether a field is read under one name only; with several, nothing is certain about any of them."""
        if self.mode == "serialization":
            return True
        return isinstance(field.get("validation_alias", ""), str) and not (
            "validation_alias" in field and (self._config.populate_by_name or self._config.validate_by_name)
        )


@lru_cache(maxsize=1024)  # bounded: types made in functions must not live for ever
def _schema_of(annotation: object, _text: str) -> Schema[Any]:
    try:
        adapter = pydantic.TypeAdapter[Any](cast("Any", annotation))
        if not adapter.pydantic_complete:
            adapter.rebuild()
        objection = why_unrecordable(adapter.core_schema, _comes_back)
    except Exception as error:  # `__get_pydantic_core_schema__` and the like are user code
        advice = (
            "declare a type that pydantic knows, import the names it uses, or leave the annotation out for any JSON"
        )
        raise DefinitionError(f"{name_of(annotation)} cannot be used: {_first_line(error)}; {advice}") from error
    if objection:
        raise DefinitionError(f"{name_of(annotation)} cannot be recorded as JSON: {objection}")
    return _SensitiveSchema(annotation, adapter) if is_sensitive(adapter.core_schema) else Schema(annotation, adapter)


def _comes_back(node: object, member: object) -> bool:
    """Whether a part of a type, an enum or a literal, reads one of its members as itself once it was written."""
    part = cast("core_schema.CoreSchema", node)
    try:
        back = SchemaValidator(part).validate_json(SchemaSerializer(part).to_json(member))
    except Exception:  # noqa: BLE001  (`_missing_` and values are user code)
        return False
    return type(back) is type(member) and bool(back == member)


def _write_shallow(write: Callable[..., bytes], value: object, **options: object) -> bytes:
    """Encode a value of a type that can nest in itself, as deep as others may."""
    raw = write(value, **options)
    if not values.is_shallow(raw):
        raise InvalidValueError([_DEEP])
    return raw


def _seal(value: object, write: Callable[[object], object], info: pydantic.SerializationInfo[Any]) -> object:
    """Write a sensitive part, sealed unless it is asked for in clear."""
    written = write(value)
    return written if info.context is _IN_CLEAR else _disclosure_in(info).seal(cast("JsonValue", written))


def _seal_secret(value: object, _write: object, info: pydantic.SerializationInfo[Any]) -> object:
    """Write what is in one of pydantic's secrets, for which its own serialiser writes stars."""
    if not isinstance(value, pydantic.SecretStr | pydantic.SecretBytes | pydantic.Secret):
        message = "no secret of pydantic's"
        raise PydanticSerializationUnexpectedValue(message)
    secret = to_jsonable_python(cast("pydantic.Secret[object]", value).get_secret_value())
    return secret if info.context is _IN_CLEAR else _disclosure_in(info).seal(cast("JsonValue", secret))


def _disclosure_in(info: pydantic.SerializationInfo[Any]) -> Disclosure:
    return cast("Disclosure", info.context)


def _veiled_problems(error: Exception, value: object) -> list[Problem]:
    """Translate what was raised about a sensitive value, without words that may quote it."""
    if not isinstance(error, pydantic.ValidationError):
        return [Problem("", f"{type(error).__name__}, {_VEIL}")]
    details = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [render_problem(cast("ErrorDetail", detail), value) for detail in details[: values.MAX_PROBLEMS]]
    return [
        Problem(problem.path, f"it does not fit, {_VEIL}") if detail["type"] not in _SAFE else problem
        for problem, detail in zip(problems, details, strict=False)
    ]


_VEIL: Final = "and more is not said, because the type has sensitive parts"
_SAFE: Final = frozenset(get_args(core_schema.ErrorType)) - {"value_error", "assertion_error", "union_tag_invalid"}
"""Kinds of errors whose messages quote nothing: not those of user code, and not those that show what they found."""


def _problems(error: Exception, value: object, prefix: str = "") -> list[Problem]:
    """Translate what pydantic or user code raised about a value."""
    if isinstance(error, InvalidValueError):
        return list(error.problems)
    if isinstance(error, RecursionError) or "depth exceeded" in str(error):
        return [Problem("", "it is nested too deeply or contains itself")]
    if not isinstance(error, pydantic.ValidationError):
        return [Problem("", f"{prefix}{type(error).__name__}: {_first_line(error)}")]
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [render_problem(cast("ErrorDetail", detail), value, prefix) for detail in details[: values.MAX_PROBLEMS]]


def _why_unwritable(value: object) -> str | None:
    """Say why pydantic cannot encode a value that holds no others."""
    try:
        to_json(value)
    except Exception as error:  # noqa: BLE001  (`__repr__` and the like are user code)
        return _first_line(error)
    return None


def _plain(raw: bytes) -> object:
    """Decode leniently, to look for what is wrong."""
    try:
        return cast("object", json.loads(raw))
    except (ValueError, RecursionError):
        return None


def _first_line(error: Exception) -> str:
    text = str(error).partition("\n")[0].removesuffix(".")
    return text[:1].lower() + text[1:]
