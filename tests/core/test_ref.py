"""References: the core holds no values, and resolving n items costs O(n)."""

from __future__ import annotations

import pytest

from outlast.core import ref as ref_module
from outlast.core.ref import Constant, DictOf, Item, ListOf, Recorded, Resolver, Sizes, item_of, seqs_of
from outlast.values import InvalidValueError, decode

PAYLOADS = {1: b"[10,20,[30]]", 2: b'"text"', 3: b"null"}
NESTED = DictOf((("a", ListOf((Recorded(2), Recorded(3)))), ("b", Item(Recorded(1), 1))))


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was split so far."""
    seen: list[bytes] = []
    split_list = ref_module.split_list

    def counted(raw: bytes) -> list[bytes]:
        seen.append(raw)
        return split_list(raw)

    monkeypatch.setattr(ref_module, "split_list", counted)
    return seen


@pytest.mark.parametrize(
    ("ref", "value"),
    [
        (Recorded(2), "text"),
        (Recorded(3), None),
        (Item(Recorded(1), 0), 10),
        (Item(Item(Recorded(1), 2), 0), 30),
        (ListOf(()), []),
        (ListOf((Recorded(2), Item(Recorded(1), 1))), ["text", 20]),
        (DictOf(()), {}),
        (NESTED, {"a": ["text", None], "b": 20}),
        (Item(ListOf((Recorded(2), Recorded(3))), 0), "text"),
    ],
)
def test_reference_gives_the_recorded_value(ref, value):
    assert decode(Resolver(PAYLOADS).resolve(ref)) == value


def test_keys_keep_their_order():
    ref = DictOf((("z", Recorded(2)), ("a", Recorded(3))))

    assert Resolver(PAYLOADS).resolve(ref) == b'{"z":"text","a":null}'


def test_missing_payload_is_a_key_error():
    with pytest.raises(KeyError):
        Resolver(PAYLOADS).resolve(Recorded(9))


@pytest.mark.parametrize("ref", [Recorded(2), Recorded(3), NESTED])
def test_item_of_what_is_no_list_is_refused(ref):
    with pytest.raises(InvalidValueError, match="a list is needed"):
        Resolver(PAYLOADS).resolve(Item(ref, 0))


def test_list_that_the_graph_holds_has_items():
    """A foreach may follow a wait whose default is a list."""
    resolver = Resolver({})

    assert resolver.resolve(Item(Constant(b"[1,[2]]"), 1)) == b"[2]"
    assert list(seqs_of(Constant(b"[1,[2]]"))) == []


def test_item_of_a_list_put_together_is_the_item_itself():
    assert item_of(ListOf((Recorded(2), Recorded(3))), 1) == Recorded(3)


def test_item_of_a_recorded_list_is_a_reference_into_it():
    assert item_of(Recorded(1), 1) == Item(Recorded(1), 1)


def test_list_put_together_splits_into_its_items(splits):
    assert Resolver(PAYLOADS).split(ListOf((Recorded(2), Recorded(3)))) == [b'"text"', b"null"]
    assert splits == []


@pytest.mark.parametrize(
    "ref", [Recorded(2), Item(Recorded(1), 2), ListOf(()), DictOf(()), NESTED, DictOf((('ä"', ListOf((NESTED,))),))]
)
def test_size_is_that_of_the_value_put_together(ref):
    resolver = Resolver(PAYLOADS)

    assert resolver.size(ref) == len(resolver.resolve(ref))


def test_size_needs_no_payload_whose_size_was_noted():
    """9.7: what is too large to be put together is known before it is read."""
    ref = ListOf((Recorded(2), Recorded(3), Recorded(700)))
    sizes = Sizes()
    sizes.note(700, 3_000_000)
    sizes.note(2, len(PAYLOADS[2]))

    assert Resolver({3: PAYLOADS[3]}, sizes).size(ref) == len('["text",null,]') + 3_000_000


def test_item_of_a_list_that_is_not_at_hand_counts_as_nothing():
    sizes = Sizes()
    sizes.note(1, len(PAYLOADS[1]))

    assert Resolver({2: PAYLOADS[2]}, sizes).size(ListOf((Recorded(2), Item(Recorded(1), 0)))) == len('["text",]')


@pytest.mark.parametrize("ref", [Recorded(9), Item(Recorded(9), 0), ListOf((Recorded(9),))])
def test_size_of_what_nobody_noted_is_a_key_error(ref):
    sizes = Sizes()
    sizes.note(12, 5)

    with pytest.raises(KeyError):
        Resolver(PAYLOADS, sizes).size(ref)


@pytest.mark.parametrize(("ref", "length"), [(Recorded(1), 3), (ListOf((Recorded(9), Recorded(10))), 2)])
def test_list_put_together_is_counted_without_its_values(ref, length):
    assert Resolver(PAYLOADS).length(ref) == length


def test_object_put_together_is_no_list_whatever_it_holds():
    with pytest.raises(InvalidValueError, match="a list is needed, this is an object"):
        Resolver({}).length(DictOf((("a", Recorded(9)),)))


def test_recorded_list_is_split_once_for_all_its_items(splits):
    resolver = Resolver({1: b"[" + b",".join(b"%d" % n for n in range(2_000)) + b"]"})

    values = [resolver.resolve(Item(Recorded(1), index)) for index in range(2_000)]

    assert values[-1] == b"1999"
    assert len(splits) == 1


def test_item_of_an_item_is_split_once_too(splits):
    resolver = Resolver({1: b"[[1,2,3],[4,5,6]]"})

    for index in (0, 1, 2):
        resolver.resolve(Item(Item(Recorded(1), 1), index))

    assert splits == [b"[[1,2,3],[4,5,6]]", b"[4,5,6]"]


def test_forgotten_list_is_split_anew(splits):
    resolver = Resolver(PAYLOADS)
    resolver.split(Recorded(1))

    resolver.forget(Recorded(1))

    assert resolver.split(Recorded(1)) == [b"10", b"20", b"[30]"]
    assert len(splits) == 2


@pytest.mark.parametrize("ref", [Recorded(1), ListOf((Recorded(1),))])
def test_what_was_never_split_may_be_forgotten(ref):
    Resolver(PAYLOADS).forget(ref)


def test_events_of_a_reference_are_all_it_is_made_of():
    assert sorted(seqs_of(NESTED)) == [1, 2, 3]
