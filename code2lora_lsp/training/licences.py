"""Licences of training repositories: permissive ones in, everything else out."""

import re
from collections.abc import Mapping

PERMISSIVE = ("MIT", "BSD", "Apache-2.0", "ISC", "PSF")

_LICENCE_FILE = re.compile(r"^(licen[cs]e|copying)([-_.][\w.-]*)?$", re.IGNORECASE)
_REFUSED = re.compile(
    r"GNU (LESSER |AFFERO |LIBRARY )?GENERAL PUBLIC LICEN|Mozilla Public License"
    r"|Eclipse Public License|European Union Public Licen|Creative Commons"
    r"|Business Source License|Commons Clause"
    r"|Zope Public License",  # permissive, but worded so like BSD that it would be taken for it
    re.IGNORECASE,
)
_TEXTS = {
    "MIT": re.compile(
        r"Permission is hereby granted, free of charge, to any person obtaining\s+a\s+copy"
    ),
    "BSD": re.compile(r"Redistribution and use in source and binary forms, with or without"),
    "Apache-2.0": re.compile(r"Apache License,?\s+Version 2\.0"),
    "ISC": re.compile(r"Permission to use, copy, modify,? and(/or)? distribute this software"),
    "PSF": re.compile(r"PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2|PSF LICENSE AGREEMENT"),
}
_SPDX_FIELD = re.compile(
    r"""^license\s*=\s*(?:\{\s*text\s*=\s*)?["']([^"'\n]+)["']""", re.MULTILINE
)
_SPDX_PERMISSIVE = re.compile(
    r"(MIT|BSD-[23]-Clause|Apache-2\.0|ISC|PSF-2\.0|Python-2\.0)", re.IGNORECASE
)
_SPDX_REFUSED = re.compile(r"GPL|MPL|EPL|EUPL|CC-BY|BUSL", re.IGNORECASE)


def is_licence_file(path: str) -> bool:
    """Whether ``path`` (relative to the root) is a licence text at the top of the tree."""
    return _LICENCE_FILE.match(path) is not None


def permissive_licence(root_files: Mapping[str, str]) -> str | None:
    """Name a repository's permissive licence; None without one, or with a copyleft one beside it.

    A choice stated in ``pyproject.toml`` ("Apache-2.0 OR GPL-2.0-or-later") counts as permissive;
    otherwise any copyleft text or statement beside a permissive one refuses the repository.

    Args:
        root_files: path -> text of the licence files at the root and of ``pyproject.toml``.
    """
    stated = _SPDX_FIELD.search(root_files.get("pyproject.toml", ""))
    sides = re.split(r"\s+or\s+", stated.group(1), flags=re.IGNORECASE) if stated else []
    if len(sides) > 1:
        chosen = (side.strip("() ") for side in sides)
        return next((side for side in chosen if _SPDX_PERMISSIVE.fullmatch(side)), None)
    if any(_SPDX_REFUSED.search(side) for side in sides):
        return None
    text = "\n".join(text for path, text in root_files.items() if is_licence_file(path))
    if _REFUSED.search(text):
        return None
    found = [name for name, pattern in _TEXTS.items() if pattern.search(" ".join(text.split()))]
    return " AND ".join(found) or None
