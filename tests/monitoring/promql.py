"""What a PromQL expression names: metrics, and labels. No parser: enough for the expressions of docs/monitoring."""

import re

WORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring", "group_left", "group_right", "inf", "nan"}
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
NAME = re.compile(r"(?<![\w.$])([a-zA-Z_:][\w:]*)(?!\w)(?!\s*\()")


def metrics(expr: str) -> set[str]:
    text = re.sub(r"\[[^\]]*\]", "", GROUPING.sub("", without_strings(expr)))
    text = re.sub(r"\boffset\s+\w+", "", re.sub(r"\{[^}]*\}", "", text))
    return {name for name in NAME.findall(text) if name not in WORDS}


def matched(expr: str) -> set[tuple[str, str]]:
    """Pairs of a metric and a label that it is chosen by."""
    found = SELECTOR.findall(without_strings(expr))
    return {(name, label) for name, labels in found for label in re.findall(r"(\w+)\s*[=!]", labels)}


def grouped(expr: str) -> set[str]:
    """Labels that series are grouped or compared by."""
    return {label for labels in GROUPING.findall(without_strings(expr)) for label in re.findall(r"\w+", labels)}


def without_strings(expr: str) -> str:
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', expr)
