"""From a raw completion to the string that is compared, by the published rules.

code2lora-spec, section 7, as the reference package's ``c2l.metrics`` writes them down. Known
oddities are kept, because the published numbers contain them: ``#`` cuts inside strings too, and
a reference of one word shortens the prediction to its first word.
"""

FIM_MARKERS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


def published_reference(target: str) -> str:
    """The target as it is compared: cut at the first ``#``, stripped."""
    return target.partition("#")[0].strip()


def published_prediction(text: str, target: str) -> str:
    """The completion as it is compared. The rules look at the target: they are generous.

    In this order: fill-in-the-middle markers go; one line if the target has one; cut at ``#``;
    cut at the first comma if the target has none; first word if the target has one word.
    """
    for marker in FIM_MARKERS:
        text = text.replace(marker, "")
    text = text.strip()
    if "\n" not in target:
        text = text.partition("\n")[0]
    text = text.partition("#")[0].strip()
    reference = published_reference(target)
    if not reference:
        return text
    if "," not in reference:
        text = text.partition(",")[0].strip()
    words = text.split()
    return words[0] if len(reference.split()) == 1 and len(words) > 1 else text


def normalised(text: str) -> str:
    """What two strings must share to match: trailing ``:`` and commas, spaces do not count."""
    text = text.strip().rstrip(":, \t")
    return " ".join(text.replace(", ", ",").replace(" ,", ",").split())


def plain_prediction(text: str, target: str) -> str:
    """As many lines of the completion as the target has, and nothing else done to it."""
    n_lines = target.strip().count("\n") + 1
    return "\n".join(text.strip().split("\n")[:n_lines]).strip()
