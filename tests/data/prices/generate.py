#!/usr/bin/env python3
"""Writes the bodies of this folder, and what each costs by the package genai-prices itself.

    pip install genai-prices==0.2.3
    python3 tests/data/prices/generate.py

Each line of a file is a case: the body of a POST to /v1/traces, and its cost in pico-dollars, null where it is not to
have one. The cost comes from the package's own model lookup, its own reading of the providers' usage objects, where it has
one, and Python's decimal numbers; nothing of ours has a part in it. The same version gives the same bytes.
"""

import datetime
import json
import pathlib
import random
from decimal import Decimal, getcontext

from genai_prices import types
from genai_prices.data import providers

getcontext().prec = 60
PROVIDERS = {provider.id: provider for provider in providers}
NOW = datetime.datetime(2026, 11, 23, 12, 0, 0, tzinfo=datetime.UTC)
RANDOM = random.Random(20261123)
CASES = {}


def cost(provider, model, usage, at=NOW, context=None):
    """Pico-dollars, exactly."""
    info = PROVIDERS[provider].find_model(model, all_providers=providers)
    assert info is not None, (provider, model)
    price = info.calc_price(usage, PROVIDERS[provider], genai_request_timestamp=at, price_context=context).total_price
    pico = price * 10**12
    assert pico == int(pico), (provider, model, price)
    return int(pico)


def extracted(provider, flavor, body):
    return PROVIDERS[provider].extract_usage(body, api_flavor=flavor)[1]


def case(dialect, pico_usd, at=NOW, **body):
    """One case, if `pico_usd` is None one without a cost."""
    body = {**body, "timestamp": int(at.timestamp() * 1000)}
    CASES.setdefault(dialect, []).append({"body": body, "pico_usd": pico_usd})


def api(dialect, flavor, said, provider, model, usage, key="usage", at=NOW, context=None, **more):
    """A case whose usage the package can read."""
    read = extracted(provider, flavor, {"model": model, "modelVersion": model, key: usage})
    case(dialect, cost(provider, model, read, at, context), at, provider=said, model=model, **{key: usage}, **more)


def counts(largest=20_000):
    """Input, cached part of it, output and reasoning part of that."""
    total = RANDOM.randint(1, largest)
    output = RANDOM.randint(0, 4000)
    return total, RANDOM.randint(0, total), output, RANDOM.randint(0, output)


def openai_chat(total, cached, output, reasoning):
    return {
        "prompt_tokens": total,
        "completion_tokens": output,
        "total_tokens": total + output,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def responses(total, cached, output, reasoning, written=None):
    details = {"cached_tokens": cached} | ({} if written is None else {"cache_write_tokens": written})
    return {
        "input_tokens": total,
        "input_tokens_details": details,
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": total + output,
    }


def anthropic(plain, read, five, hour, output):
    return {
        "input_tokens": plain,
        "cache_creation_input_tokens": five + hour,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
        "output_tokens": output,
        "service_tier": "standard",
    }


def gemini(total, cached, output, thoughts, tools=None):
    usage = {
        "promptTokenCount": total,
        "candidatesTokenCount": output,
        "totalTokenCount": total + output + thoughts + (tools or 0),
        "cachedContentTokenCount": cached,
        "thoughtsTokenCount": thoughts,
    }
    return usage | ({} if tools is None else {"toolUsePromptTokenCount": tools})


def of_openai():
    for model in "gpt-4o gpt-4o-mini gpt-4.1 gpt-5 gpt-5-mini gpt-5.1 gpt-5.2-codex o3 o4-mini gpt-4o-2024-05-13".split():
        for _ in range(3):
            api("openai-chat", "chat", "openai", "openai", model, openai_chat(*counts()))
    for total in (271_999, 272_000, 272_001, 900_000):
        api("openai-chat", "chat", "openai", "openai", "gpt-5.4", openai_chat(total, 1000, 700, 300))
    for model in "gpt-5 gpt-5.4-mini gpt-6-sol gpt-5.6-terra".split():
        for _ in range(3):
            total, cached, output, reasoning = counts()
            usage = responses(total, cached, output, reasoning, RANDOM.randint(0, total - cached))
            api("openai-responses", "responses", "openai.responses", "openai", model, usage)
    for total in (272_000, 272_001):
        usage = responses(total, 50_000, 900, 100, 40_000)
        api("openai-responses", "responses", "openai", "openai", "gpt-6-astra", usage)
    for tier, context in (
        ("flex", {"service_tier": "flex"}),
        ("priority", {"service_tier": "priority"}),
        ("default", None),
        ("auto", None),
        ("batch", {"processing": "batch"}),
    ):
        for model in ("gpt-5", "gpt-5.4"):
            usage = responses(*counts())
            api("openai-tiers", "responses", "openai", "openai", model, usage, context=context, service_tier=tier)
    for tier in ("scale", "reserved"):
        case("openai-tiers", None, provider="openai", model="gpt-5", service_tier=tier, usage=responses(9, 0, 9, 0))
    case("openai-tiers", None, provider="openai", model="o3-pro", service_tier="flex", usage=responses(9, 0, 9, 0))
    for day in ("2025-06-09", "2025-06-10"):
        at = datetime.datetime.fromisoformat(day + "T00:00:00+00:00")
        api("openai-chat", "chat", "openai", "openai", "o3", openai_chat(*counts()), at=at)
    for model in ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"):
        usage = {"prompt_tokens": RANDOM.randint(1, 8000)}
        usage["total_tokens"] = usage["prompt_tokens"]
        api("embeddings", "embeddings", "openai", "openai", model, usage, operation="embeddings")
    for model in ("gpt-4o", "gpt-5-mini"):
        api("azure", "chat", "az.ai.openai", "azure", model, openai_chat(*counts()))
        api("azure", "chat", "azure.ai.openai", "azure", model, openai_chat(*counts()))


def of_anthropic():
    for model in "claude-sonnet-4-5 claude-opus-4-8 claude-haiku-4-5-20251001 claude-sonnet-5 claude-3-5-haiku-20241022".split():
        for hour in (0, 0, 700):
            usage = anthropic(*(RANDOM.randint(0, 9000) for _ in range(2)), RANDOM.randint(0, 900), hour, 321)
            api("anthropic", "default", "anthropic", "anthropic", model, usage)
    for plain in (200_000, 200_001):
        api("anthropic", "default", "anthropic", "anthropic", "claude-sonnet-4-5", anthropic(plain, 0, 0, 0, 1000))
        parts = anthropic(plain - 150_000, 100_000, 30_000, 20_000, 1000)
        api("anthropic", "default", "anthropic", "anthropic", "claude-sonnet-4-5", parts)
    plain = {"input_tokens": 1234, "output_tokens": 56}
    api("anthropic", "default", "anthropic", "anthropic", "claude-opus-4-1", plain)
    thinking = plain | {"output_tokens_details": {"thinking_tokens": 40}}
    api("anthropic", "default", "anthropic", "anthropic", "claude-opus-5", thinking)
    for model in ("claude-sonnet-4-5", "claude-opus-4-8", "claude-haiku-4-5"):
        usage = anthropic(1000, 500, 200, 100, 50) | {"service_tier": "batch"}
        api("anthropic", "default", "anthropic", "anthropic", model, usage, context={"processing": "batch"})
    fast = anthropic(1000, 500, 200, 100, 50) | {"speed": "fast"}
    api("anthropic", "default", "anthropic", "anthropic", "claude-opus-4-8", fast, context={"speed": "fast"})
    for usage in (
        anthropic(10, 0, 0, 0, 5) | {"service_tier": "priority"},
        anthropic(10, 0, 0, 0, 5) | {"server_tool_use": {"web_search_requests": 2}},
    ):
        case("anthropic", None, provider="anthropic", model="claude-opus-4-8", usage=usage)
    none = anthropic(10, 0, 0, 0, 5) | {"server_tool_use": {"web_search_requests": 0}}
    api("anthropic", "default", "anthropic", "anthropic", "claude-opus-4-8", none)
    for model in ("claude-sonnet-4-5@20250929", "claude-opus-4-1@20250805"):
        api("vertex", "anthropic", "gcp.vertex_ai", "google", model, anthropic(900, 800, 70, 6, 55))


def of_google():
    for model in "gemini-2.5-pro gemini-2.5-flash gemini-2.5-flash-lite gemini-3.5-flash gemini-3.1-pro-preview".split():
        for tools in (None, 0, 345):
            api("gemini", "default", "gcp.gemini", "google", model, gemini(*counts(), tools), key="usageMetadata")
    for total in (199_999, 200_000, 200_001):
        usage = gemini(total, 0, 800, 200)
        api("gemini", "default", "google", "google", "gemini-2.5-pro", usage, key="usageMetadata")
    usage = {"promptTokenCount": 12, "totalTokenCount": 12}
    api("gemini", "default", "google", "google", "gemini-2.5-flash", usage, key="usageMetadata")
    usage = {"promptTokenCount": 12, "thoughtsTokenCount": 99, "totalTokenCount": 111}
    api("gemini", "default", "google", "google", "gemini-2.5-flash", usage, key="usageMetadata")
    text = gemini(100, 0, 20, 0) | {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}]}
    api("gemini", "default", "google", "google", "gemini-2.5-flash", text, key="usageMetadata")
    sound = gemini(100, 0, 20, 0) | {"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 60}]}
    case("gemini", None, provider="google", model="gemini-2.5-flash", usageMetadata=sound)
    for model in ("gemini-2.5-flash-image", "gemini-2.5-pro-preview-tts"):
        case("gemini", None, provider="google", model=model, usageMetadata=gemini(10, 0, 20, 0))
    for day in ("2026-12-31", "2027-01-01"):
        at = datetime.datetime.fromisoformat(day + "T23:59:59+00:00")
        usage = gemini(*counts())
        api("gemini", "default", "gcp.gen_ai", "google", "gemini-3.8-flash", usage, key="usageMetadata", at=at)
    api("gemini", "chat", "google", "google", "gemini-2.5-flash", openai_chat(*counts()))


def bedrock(plain, read, five, hour, output):
    usage = {
        "inputTokens": plain,
        "outputTokens": output,
        "totalTokens": plain + read + five + hour + output,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": five + hour,
    }
    details = [{"ttl": "5m", "inputTokens": five}, {"ttl": "1h", "inputTokens": hour}]
    return usage | ({"cacheDetails": details} if hour else {})


def of_aws():
    for model in (
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "eu.anthropic.claude-opus-4-8",
        "anthropic.claude-3-5-haiku-20241022-v1:0",
        "amazon.nova-pro-v1:0",
        "us.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ):
        for hour in (0, 60):
            usage = bedrock(RANDOM.randint(1, 9000), RANDOM.randint(0, 900), RANDOM.randint(0, 90), hour, 77)
            api("bedrock-converse", "default", "aws.bedrock", "aws", model, usage)
    for model in ("meta.llama3-3-70b-instruct-v1:0", "mistral.mistral-large-3-675b-instruct"):
        usage = {"inputTokens": 812, "outputTokens": 93, "totalTokens": 905}
        api("bedrock-converse", "default", "amazon-bedrock", "aws", model, usage)


def of_deepseek():
    for model in ("deepseek-chat", "deepseek-reasoner", "deepseek-v4-pro"):
        for hour, minute in ((0, 29), (0, 30), (16, 29), (16, 30), (2, 0)):
            at = NOW.replace(hour=hour, minute=minute)
            total, cached, output, reasoning = counts()
            usage = openai_chat(total, cached, output, reasoning)
            usage |= {"prompt_cache_hit_tokens": cached, "prompt_cache_miss_tokens": total - cached}
            api("deepseek", "chat", "deepseek", "deepseek", model, usage, at=at)
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}
    read = types.Usage(input_tokens=100, cache_read_tokens=64, output_tokens=7)
    price = cost("deepseek", "deepseek-chat", read)
    case("deepseek", price, provider="deepseek", model="deepseek-chat", usage=usage)


def of_xai():
    for model in "grok-3 grok-3-mini grok-4 grok-4.3 grok-code-fast-1".split():
        for total in (None, 199_999, 200_000):
            total, cached, output, reasoning = counts() if total is None else (total, 400, 900, 300)
            usage = openai_chat(total, cached, output, reasoning)
            usage["total_tokens"] = total + output + reasoning
            api("xai", "chat", "x_ai", "x-ai", model, usage)
    usage = openai_chat(1000, 10, 5, 95)
    del usage["total_tokens"]
    api("xai", "chat", "xai", "x-ai", "grok-3-mini", usage)
    old = {"prompt_tokens": 900, "cached_prompt_text_tokens": 300, "completion_tokens": 80, "reasoning_tokens": 70}
    api("xai", "default", "xai", "x-ai", "grok-3-mini", old)
    api("xai", "responses", "xai", "x-ai", "grok-4", responses(*counts()))
    case("xai", None, provider="xai", model="grok-voice-latest", usage=old)


def of_others():
    for said, provider, flavor, models in (
        ("mistral_ai", "mistral", "default", "mistral-large-latest mistral-small-latest codestral-latest magistral-medium-latest"),
        ("groq", "groq", "default", "llama-3.3-70b-versatile openai/gpt-oss-120b llama-3.1-8b-instant"),
        ("moonshot_ai", "moonshotai", "chat", "kimi-k2.5 kimi-k2-thinking moonshot-v1-8k kimi-k3"),
        ("zai", "zai", "chat", "glm-5 glm-4.6 glm-4.5-air"),
        ("zhipuai", "zhipuai", "chat", "glm-4.6"),
        ("fireworks", "fireworks", "chat", "accounts/fireworks/models/deepseek-v3p1"),
        ("cerebras", "cerebras", "chat", "llama3.1-8b"),
        ("minimax", "minimax", "chat", "MiniMax-M2"),
        ("github-copilot", "github-copilot", "chat", "gpt-5-mini claude-sonnet-4.5"),
    ):
        for model in models.split():
            for _ in range(2):
                if PROVIDERS[provider].find_model(model, all_providers=providers) is None:
                    continue
                api(said.replace("_", "-"), flavor, said, provider, model, openai_chat(*counts()))
    kimi = {"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930, "cached_tokens": 512}
    read = types.Usage(input_tokens=900, cache_read_tokens=512, output_tokens=30)
    case("moonshot-ai", cost("moonshotai", "kimi-k2.5", read), provider="moonshotai", model="kimi-k2.5", usage=kimi)
    usage = anthropic(800, 600, 50, 0, 40)
    api("minimax", "default", "minimax", "minimax", "MiniMax-M2", usage)
    for model in ("command-r-plus", "command-a"):
        if PROVIDERS["cohere"].find_model(model, all_providers=providers):
            usage = {"billed_units": {"input_tokens": 321, "output_tokens": 45}}
            api("cohere", "default", "cohere", "cohere", model, usage)
            both = usage | {"tokens": {"input_tokens": 400, "output_tokens": 50}}
            api("cohere", "default", "cohere", "cohere", model, both)
    for model in ("mistral-nemo:free", "devstral-small:free"):
        api("free", "default", "mistral", "mistral", model, openai_chat(*counts()))
    for model in ("voyage-3", "voyage-code-3"):
        tokens = RANDOM.randint(1, 9000)
        price = cost("voyageai", model, types.Usage(input_tokens=tokens))
        case("embeddings", price, provider="voyage", model=model, operation="embeddings", usage={"total_tokens": tokens, "prompt_tokens": tokens})


def of_gateways():
    """OpenRouter, OpenClaw and the AI SDK: the package does not read what they write, so the counts are told."""
    for model, maker, name in (
        ("anthropic/claude-sonnet-4.5", "anthropic", "claude-sonnet-4.5"),
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("google/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("x-ai/grok-4", "x-ai", "grok-4"),
    ):
        for _ in range(2):
            total, cached, output, reasoning = counts()
            usage = openai_chat(total, cached, output, reasoning) | {"cost_details": {"upstream_inference_cost": None}}
            price = cost(maker, name, types.Usage(input_tokens=total, cache_read_tokens=cached, output_tokens=output))
            case("openrouter", price, provider="openrouter", model=model, usage=usage)
            said = {"cost": 0.0123, "is_byok": False}
            case("openrouter", 12_300_000_000, provider="openrouter", model=model, usage=usage | said)
    for model in ("meta-llama/llama-3.3-70b-instruct", "google/gemini-2.5-flash:free", "deepseek/deepseek-chat-v3.1"):
        case("openrouter", None, provider="openrouter", model=model, usage=openai_chat(*counts()))
        case("openrouter", 0, provider="openrouter", model=model, usage=openai_chat(*counts()) | {"cost": 0})
    for said, provider, model in (
        ("anthropic", "anthropic", "claude-sonnet-4-5"),
        ("my-own-proxy", "anthropic", "claude-opus-4-8"),
        ("openai", "openai", "gpt-5"),
        ("openai-codex", "openai", "gpt-5.2-codex"),
        ("google", "google", "gemini-2.5-pro"),
        ("xai", "x-ai", "grok-4"),
    ):
        for zero in (False, True):
            plain, read, write, output = (RANDOM.randint(0, 4000) for _ in range(4))
            usage = {"input": plain, "output": output, "cacheRead": read, "cacheWrite": write, "reasoningTokens": output // 2}
            usage["totalTokens"] = plain + read + write + output
            if zero:
                usage["cost"] = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0}
            told = types.Usage(
                input_tokens=plain + read + write, cache_read_tokens=read, cache_write_tokens=write, output_tokens=output
            )
            case("openclaw", cost(provider, model, told), provider=said, model=model, usage=usage)
    billed = {"input": 10, "output": 20, "cost": {"input": 0.00001, "output": 0.00002, "total": 0.00003}}
    case("openclaw", 30_000_000, provider="mockai", model="mock-model", usage=billed)
    case("openclaw", None, provider="mockai", model="mock-model", usage=billed | {"cost": {"total": 0}})
    hour = {"input": 100, "output": 20, "cacheWrite": 50, "cacheWrite1h": 30}
    told = types.Usage(input_tokens=150, cache_write_tokens=50, cache_write_1h_tokens=30, output_tokens=20)
    price = cost("anthropic", "claude-opus-4-8", told)
    case("openclaw", price, provider="anthropic", model="claude-opus-4-8", usage=hour)
    for said, provider, model in (
        ("openai.chat", "openai", "gpt-4o"),
        ("anthropic.messages", "anthropic", "claude-sonnet-4-5"),
        ("google.generative-ai", "google", "gemini-2.5-flash"),
        ("azure-openai.responses", "azure", "gpt-5-mini"),
    ):
        total, cached, output, reasoning = counts()
        five = {"inputTokens": total, "outputTokens": output, "totalTokens": total + output}
        five |= {"cachedInputTokens": cached, "reasoningTokens": reasoning}
        price = cost(provider, model, types.Usage(input_tokens=total, cache_read_tokens=cached, output_tokens=output))
        case("ai-sdk", price, provider=said, model=model, usage=five)
        written = RANDOM.randint(0, total - cached)
        six = {
            "inputTokens": total,
            "inputTokenDetails": {"noCacheTokens": total - cached - written, "cacheReadTokens": cached, "cacheWriteTokens": written},
            "outputTokens": output,
            "outputTokenDetails": {"textTokens": output - reasoning, "reasoningTokens": reasoning},
            "totalTokens": total + output,
        }
        told = types.Usage(
            input_tokens=total, cache_read_tokens=cached, cache_write_tokens=written, output_tokens=output
        )
        case("ai-sdk", cost(provider, model, told), provider=said, model=model, usage=six)


def of_nobody():
    for provider, model in (
        ("openai", "gpt-99"),
        ("anthropic", "claude"),
        ("mockai", "mock-model"),
        ("ollama", "llama3.2"),
        ("ollama", "gpt-oss:20b"),
        ("openai", "claude-sonnet-4-5"),
        ("perplexity", "sonar-pro"),
        ("openai", "gpt-4o-audio-preview"),
    ):
        case("unknown", None, provider=provider, model=model, usage=openai_chat(*counts()))
    case("unknown", None, model="mock-model", usage=openai_chat(*counts()))
    case("unknown", 0, model="mock-model", usage=openai_chat(*counts()), cost_usd=0)
    case("unknown", None, provider="openai", model="gpt-4o", status="error", usage=openai_chat(*counts()))
    case("unknown", None, provider="openai", model="gpt-4o", usage={})
    case("unknown", None, provider="openai", model="gpt-4o", usage={"total_tokens": 77})


def main():
    for make in (of_openai, of_anthropic, of_google, of_aws, of_deepseek, of_xai, of_others, of_gateways, of_nobody):
        make()
    folder = pathlib.Path(__file__).parent
    for dialect, cases in CASES.items():
        lines = ",\n".join(json.dumps(case) for case in cases)
        (folder / f"{dialect}.json").write_text(f"[\n{lines}\n]\n")
    print(sum(map(len, CASES.values())), "cases in", len(CASES), "files")


if __name__ == "__main__":
    main()
