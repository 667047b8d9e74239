"""Writes the bodies that fuzzing starts from, and the words that it tries. Usage: seeds.py TARGET FOLDER DICTIONARY

The bodies are the captures of tests/data, inflated, and for native JSON the examples of docs/wire.md and what was found earlier;
the words are the names that docs/wire.md has. Needs nothing but Python.
"""

import gzip
import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WIRE = (ROOT / "docs/wire.md").read_text(encoding="utf-8")
# What libFuzzer would cut: longer bodies say nothing that shorter ones do not.
BYTES_MAX = 64 * 1024


def captures(ending):
    for path in sorted((ROOT / "tests/data").rglob("*")):
        name = path.name.removesuffix(".gz")
        if name.endswith(ending) and not name.endswith(".headers.json") and path.is_file():
            yield gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()


def examples():
    """Each is a body for every path: the target's first byte says which."""
    found = [path.read_bytes() for path in sorted((ROOT / "tests/data/fuzz").glob("native-*.json"))]
    blocks = [block.encode() for block in re.findall(r"^```json\n(.*?)^```", WIRE, re.M | re.S)]
    for body in found + blocks:
        yield from (bytes([choice]) + body for choice in range(6))


def main():
    target, folder, dictionary = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    bodies = {
        "otlp_protobuf": lambda: captures(".pb"),
        "otlp_json": lambda: captures(".json"),
        "native_json": examples,
    }[target]
    folder.mkdir(parents=True, exist_ok=True)
    for body in bodies():
        if len(body) <= BYTES_MAX:
            (folder / hashlib.sha256(body).hexdigest()[:16]).write_bytes(body)
    words = sorted(set(re.findall(r"`([A-Za-z][A-Za-z0-9_.]*)`", WIRE)))
    dictionary.write_text("".join(f'"{word}"\n' for word in words), encoding="ascii")


main()
