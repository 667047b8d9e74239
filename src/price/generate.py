#!/usr/bin/env python3
"""Writes embedded.tsv, the table of prices that is compiled in, from the data of the package genai-prices.

    pip install genai-prices==0.2.3
    python3 src/price/generate.py 2026-11-23 > src/price/embedded.tsv

The argument is the day on which that version was fetched: the package has no date of its own. The same version
and date give the same bytes. The format is that of TRACE_PRICES_FILE (docs/configuration.md). The data is under the
MIT licence, which stands in LICENSE-genai-prices.

Left out are providers that are not in PROVIDERS: gateways (OpenRouter, Hugging Face, ...) and those that few use.
Without a price are models that are paid for in part by what nobody counts in tokens of text: requests, audio, images,
pages, characters. They have a line all the same, so that no pattern further down takes their names. A search that a model makes, and audio or images that it is shown, may be priced apart: the column `apart` says so,
and a call that tells of them has no price.
"""

import datetime
import importlib.metadata
import re
import sys
from decimal import Decimal

from genai_prices import types
from genai_prices.data import providers

PROVIDERS = (
    "anthropic aws azure baseten cerebras cohere deepseek fireworks github-copilot google groq meta minimax mistral "
    "moonshotai openai perplexity together voyageai x-ai zai zhipuai"
).split()

RATES = ["input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok"]
COLUMNS = ["provider", "models", "when", "input", "output", "cache_read", "cache_write", "cache_write_1h", "apart"]

# What may be priced apart, without being what the model is for.
APART = {
    "web_searches_kcount": "search",
    "storage_searches_kcount": "search",
    "input_audio_mtok": "audio",
    "cache_audio_read_mtok": "audio",
    "input_image_mtok": "image",
    "cache_image_read_mtok": "image",
    "input_video_mtok": "video",
}

# What a request says of the tier of service.
TIERS = {"processing", "service_tier", "speed"}

# Models for sound and pictures: what they are shown is not text, whatever the price says.
NOT_FOR_TEXT = re.compile(r"audio|image|live|realtime|transcribe|tts|voice|whisper|sonic|voxtral|nano-banana|omni")

# Clauses that no pattern can say, and what says the same.
NO_SPEECH = "^(?!.*-[tT][tT][sS](?:$|-))"
NO_SPEECH_PATTERNS = ["!*-tts", "!*-tts-*"]


def patterns(match):
    """The patterns of a clause, in their order."""
    kind = type(match).__name__
    if kind == "ClauseOr":
        return [pattern for clause in match.or_ for pattern in patterns(clause)]
    if kind == "ClauseAnd":
        start, rest = match.and_
        assert type(rest).__name__ == "ClauseRegex" and rest.regex == NO_SPEECH, rest
        return NO_SPEECH_PATTERNS + patterns(start)
    if kind == "ClauseRegex":
        return of_regex(match.regex)
    text = next(value for value in vars(match).values() if isinstance(value, str)).lower()
    assert not re.search(r"[*#!\s\"]", text), text
    before = {"ClauseEquals": "", "ClauseStartsWith": "", "ClauseContains": "*", "ClauseEndsWith": "*"}[kind]
    after = {"ClauseEquals": "", "ClauseStartsWith": "*", "ClauseContains": "*", "ClauseEndsWith": ""}[kind]
    return [before + text + after]


def of_regex(regex):
    """The patterns of a regular expression: letters, digits (`#`) and one of several characters."""
    found, rest = [""], regex
    assert rest.startswith("^"), regex
    rest = rest[1:]
    while rest and rest != "$":
        digits = re.match(r"\\d(?:\{(\d+)\})?", rest)
        one_of = re.match(r"\[([^\]\\^]+)\]", rest)
        letter = re.match(r"\\([.\-/])|([a-z0-9\-@:/_])", rest)
        token = digits or one_of or letter
        assert token, regex
        if digits:
            options = ["#" * int(digits[1] or 1)]
        elif one_of:
            assert not re.search(r"\w-\w", one_of[1]), regex
            options = list(one_of[1])
        else:
            options = [letter[1] or letter[2]]
        rest = rest[token.end() :]
        assert not rest or rest[0] not in "+*?{|()", regex
        found = [before + option for before in found for option in options]
    return found if rest == "$" else [before + "*" for before in found]


def number(decimal):
    """A price per million tokens, which has no more than six decimals."""
    assert decimal == decimal.quantize(Decimal("0.000001")) and decimal >= 0, decimal
    text = format(decimal.normalize(), "f")
    return text


def rate(price):
    """A price, with those of the tiers above: `1.25>200000:2.5`."""
    if price is None:
        return ""
    if isinstance(price, types.TieredPrices):
        tiers = "".join(f">{tier.start}:{number(tier.price)}" for tier in price.tiers)
        return number(price.base) + tiers
    return number(price)


def priced(price):
    """What of a price is set, by its name."""
    return {key: value for key, value in vars(price).items() if value is not None and not key.startswith("_")}


def cells(price):
    apart = sorted({APART[key] for key in priced(price) if key in APART})
    return [rate(priced(price).get(key)) for key in RATES] + [" ".join(apart)]


def is_free(model):
    return model.id.endswith(":free") and isinstance(model.prices, types.ModelPrice) and not priced(model.prices)


def is_for_text(model, prices):
    variants = [variant.prices for variant in model.price_variants or ()]
    keys = set().union(*(priced(price) for price in prices + variants))
    return keys <= set(RATES) | set(APART) and "input_mtok" in keys and not NOT_FOR_TEXT.search(model.id.lower())


def conditions(model):
    """(condition, price) in the order of the data: of those that hold the last counts."""
    prices = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    return [(when(conditional.constraint), conditional.prices) for conditional in prices]


def when(constraint):
    if constraint is None:
        return ""
    if isinstance(constraint, types.StartDateConstraint):
        return constraint.start_date.isoformat()
    assert constraint.start_time.utcoffset() == constraint.end_time.utcoffset() == datetime.timedelta(0), constraint
    assert constraint.start_time < constraint.end_time, constraint
    return f"{constraint.start_time:%H:%M}-{constraint.end_time:%H:%M}"


def of_tiers(model):
    """(condition, price) of the tiers of service: from each day on which anything of them changes."""
    variants = [v for v in model.price_variants or () if priced(v.prices) and set(v.when) <= TIERS]
    days = lambda constraint: [constraint.start_date] if constraint is not None else []
    lines = []
    for context in sorted({tuple(variant.when.items()) for variant in variants}):
        assert len(context) == 1, context
        own = [variant for variant in variants if tuple(variant.when.items()) == context]
        starts = sorted({day for variant in own for day in days(variant.constraint)})
        prices = model.prices if isinstance(model.prices, list) else []
        assert all(type(c.constraint).__name__ in ("NoneType", "StartDateConstraint") for c in prices), model.id
        always = any(variant.constraint is None for variant in own)
        later = {day for conditional in prices for day in days(conditional.constraint)}
        changes = sorted(later | set(starts)) if always else sorted(set(starts) | {d for d in later if d > starts[0]})
        for day in ([None] if always else []) + changes:
            moment = datetime.datetime.combine(day or datetime.date(2000, 1, 1), datetime.time(12), datetime.UTC)
            price = model.get_prices(moment, dict(context))
            condition = f"{context[0][1]} {day or ''}".strip()
            if not lines or lines[-1][0].split()[0] != context[0][1] or cells(lines[-1][1]) != cells(price):
                lines.append((condition, price))
    return lines


def lines_of(provider):
    seen = set()
    for model in provider.models:
        lines = conditions(model)
        if is_for_text(model, [price for _, price in lines]):
            lines += of_tiers(model)
        elif is_free(model):
            lines = [("", types.ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0)))]
        else:
            lines = [("", types.ModelPrice())]
        names = list(dict.fromkeys(name for name in patterns(model.match) if name not in seen))
        seen.update(name for name in names if name[0] != "!")
        assert any(name[0] != "!" for name in names), model.id
        for place, (condition, price) in enumerate(lines):
            cell = [provider.id, " ".join(names) if place == 0 else '"', condition, *cells(price)]
            yield "\t".join(cell).rstrip("\t")


def main():
    day = datetime.date.fromisoformat(sys.argv[1])
    version = importlib.metadata.version("genai-prices")
    print("openclaw-trace prices 1 replaces")
    print(f"# version: genai-prices {version} {day}")
    print("# Prices of the package genai-prices, Copyright (c) Pydantic Services Inc. 2025 to present, under the MIT licence")
    print("# (LICENSE-genai-prices). Written by generate.py, not by hand. US dollars per million tokens.")
    print("#" + "\t".join(COLUMNS))
    for name in sorted(PROVIDERS):
        provider = next(provider for provider in providers if provider.id == name)
        for line in lines_of(provider):
            print(line)


if __name__ == "__main__":
    main()
