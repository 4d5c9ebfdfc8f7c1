from __future__ import annotations

import pytest

import outlast


@pytest.mark.parametrize("name", outlast.__all__)
def test_public_name_exists_and_is_documented(name: str):
    value = getattr(outlast, name)

    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}("), "only the docstring that dataclasses make up"
