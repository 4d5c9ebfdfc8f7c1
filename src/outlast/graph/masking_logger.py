"""The logger of a body that sees sensitive values: what it logs shows masks instead."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import cast

from outlast.sealing import Disclosure

__all__ = ["MaskingLogger"]


class MaskingLogger(logging.LoggerAdapter[logging.Logger]):
    """Masks the sensitive values of one call of a body in the messages that it logs."""

    def __init__(self, logger: logging.Logger, extra: Mapping[str, object], disclosure: Disclosure) -> None:
        super().__init__(logger, extra)
        self._disclosure = disclosure

    def log(self, level: int, msg: object, *args: object, **options: object) -> None:
        """Log a message, put together and masked. Of an exception it shows type and text, which are masked too."""
        if not self.isEnabledFor(level):
            return
        text = logging.LogRecord("", level, "", 0, msg, args, None).getMessage()
        error = _exception_of(options.pop("exc_info", None))
        if error is not None:
            text = f"{text}: {type(error).__name__}: {error}"
        stack = options.pop("stacklevel", 1)
        depth = stack + 1 if isinstance(stack, int) else 1
        super().log(level, "%s", self._disclosure.hide(text), stacklevel=depth)


def _exception_of(given: object) -> object:
    """Return the exception that is meant by `exc_info`."""
    if isinstance(given, tuple):
        return cast("tuple[object, ...]", given)[1]
    return sys.exc_info()[1] if given is True else given or None
