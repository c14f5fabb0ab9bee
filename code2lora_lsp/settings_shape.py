"""The shapes that settings may be written in, as one: groups in an object, ``{"follow": {…}}``."""

from collections.abc import Mapping

SECTION = "code2lora"
"""Our name in an editor's settings; everything may stand under it."""


def shaped(raw: object) -> object:
    """Dotted names as objects in objects, and without our own name around it all.

    What is no object is left to the decoder, which says what is wrong with it.
    """
    nested = _nested(raw)
    if not (isinstance(nested, Mapping) and SECTION in nested):
        return nested
    beside = {name: value for name, value in nested.items() if name != SECTION}
    return _joined(nested[SECTION], beside) if beside else nested[SECTION]


def merged(first: object, then: object) -> object:
    """Two pieces of settings as one, in one shape; what ``then`` names wins."""
    return _joined(shaped(first), shaped(then))


def _nested(raw: object) -> object:
    if not isinstance(raw, Mapping):
        return raw
    found: dict[str, object] = {}
    for dotted, given in raw.items():
        name, *deeper = str(dotted).split(".")
        value = _nested(given)
        for part in reversed(deeper):
            value = {part: value}
        found[name] = _joined(found.pop(name, None), value)
    return found


def _joined(first: object, then: object) -> object:
    if not (isinstance(first, Mapping) and isinstance(then, Mapping)):
        return then
    both = dict(first)
    for name, value in then.items():
        both[name] = _joined(both.pop(name, None), value)
    return both
