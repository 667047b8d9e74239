use super::*;

/// What a call of 1000 tokens in and 100 out costs by the table that is compiled in.
fn price(provider: &str, model: &str) -> Option<i64> {
    cost(embedded(), call(provider, model))
}

/// 3 and 15 dollars per million.
const SONNET: Option<i64> = Some(1000 * 3_000_000 + 100 * 15_000_000);
/// 2.5 and 10.
const GPT_4O: Option<i64> = Some(1000 * 2_500_000 + 100 * 10_000_000);
/// 1.25 and 10.
const GEMINI_2_5_PRO: Option<i64> = Some(1000 * 1_250_000 + 100 * 10_000_000);

#[test]
fn every_name_of_a_provider_finds_its_prices() {
    for (names, model, wanted) in [
        ("anthropic Anthropic claude anthropic.messages", "claude-sonnet-4-5", SONNET),
        ("openai OpenAI openai.responses openai.chat", "gpt-4o", GPT_4O),
        ("azure az.ai.openai azure.ai.openai azure_openai azure-openai.chat", "gpt-4o", GPT_4O),
        (
            "google gemini gcp.gemini gcp.gen_ai gcp.vertex_ai vertex_ai google.vertex.chat google.generative-ai google-vertex",
            "gemini-2.5-pro",
            GEMINI_2_5_PRO,
        ),
        ("x_ai xai x-ai xai.chat", "grok-3", Some(1000 * 3_000_000 + 100 * 15_000_000)),
        ("mistral_ai mistral mistralai", "mistral-large-latest", price("mistral", "mistral-large-latest")),
        ("moonshot_ai moonshot moonshotai", "kimi-k2.5", price("moonshotai", "kimi-k2.5")),
    ] {
        assert!(wanted.is_some(), "{model}");
        for name in names.split(' ') {
            assert_eq!(price(name, model), wanted, "{name} {model}");
        }
    }
}

#[test]
fn a_name_is_cut_and_its_date_read_only_where_the_table_knows_the_rest() {
    for (provider, model, wanted) in [
        ("anthropic", "claude-sonnet-4-5-20250929", SONNET),
        ("anthropic", "anthropic/claude-sonnet-4-5", SONNET),
        ("anthropic", "CLAUDE-Sonnet-4-5", SONNET),
        ("google", "models/gemini-2.5-pro", GEMINI_2_5_PRO),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro", GEMINI_2_5_PRO),
        ("gcp.vertex_ai", "projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929", SONNET),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", SONNET),
        ("azure", "claude-sonnet-4-5", SONNET),
        ("openai", "gpt-5.2-20251211", price("openai", "gpt-5.2-2025-12-11")),
        ("openai", "gpt-4o-2024-08-06", GPT_4O),
        // Nobody knows these, or not from there.
        ("openai", "gpt-4o-20991399", None),
        ("openai", "gpt-4o-new", None),
        ("openai", "gpt-4", Some(1000 * 30_000_000 + 100 * 60_000_000)),
        ("openai", "gpt-4o:free", None),
        ("openai", "anthropic/gpt-4o", None),
        ("anthropic", "gpt-4o", None),
        ("openai", "claude-sonnet-4-5", None),
        ("openai", "", None),
        ("openai", "/", None),
    ] {
        assert_eq!(price(provider, model), wanted, "{provider} {model}");
    }
}

#[test]
fn an_unknown_provider_sells_what_can_be_of_one_maker_only_at_his_price() {
    for provider in ["", "mockai", "openrouter", "my-gateway", "litellm", "openai-codex"] {
        for (model, wanted) in [
            ("claude-sonnet-4-5", SONNET),
            ("anthropic/claude-sonnet-4.5", SONNET),
            ("gpt-4o", GPT_4O),
            ("openai/gpt-4o", GPT_4O),
            ("gemini-2.5-pro", GEMINI_2_5_PRO),
            ("models/gemini-2.5-pro", GEMINI_2_5_PRO),
            ("google/gemini-2.5-pro", GEMINI_2_5_PRO),
            // Anybody may serve these, make these, or give them away.
            ("gpt-oss-120b", None),
            ("openai/gpt-oss-120b:free", None),
            ("kimi-k2", None),
            ("llama-3.3-70b-versatile", None),
            ("meta-llama/llama-3.3-70b-instruct", None),
            ("someone/claude-sonnet-4-5", None),
            ("google/claude-sonnet-4-5", if provider.is_empty() { SONNET } else { None }),
            ("google/gemini-2.5-pro:free", None),
            ("mock-model", None),
        ] {
            assert_eq!(price(provider, model), wanted, "{provider:?} {model}");
        }
    }
    // Where nobody says who served it, the part before the slash does.
    assert_eq!(price("", "groq/llama-3.3-70b-versatile"), price("groq", "llama-3.3-70b-versatile"));
    assert!(price("groq", "llama-3.3-70b-versatile").is_some());
}

#[test]
fn bedrock_has_prices_of_its_own_and_a_region_costs_a_tenth_more() {
    let global = price("aws.bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0");
    let regional = price("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0");
    assert_eq!(global, SONNET);
    assert_eq!(regional, SONNET.map(|pico| pico / 10 * 11));
    for provider in ["", "bedrock", "amazon-bedrock", "mockai"] {
        assert_eq!(price(provider, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"), regional, "{provider:?}");
        assert!(price(provider, "amazon.nova-lite-v1:0").is_some(), "{provider:?}");
    }
}

#[test]
fn the_model_that_answered_comes_before_the_one_that_was_asked_for() {
    let prices = embedded();
    let answered = |request: &str, response: &str| {
        cost(prices, LlmTrace { response_model: Some(response.into()), ..call("openai", request) })
    };
    assert_eq!(answered("gpt-5", "gpt-4o-2024-08-06"), GPT_4O);
    assert_eq!(answered("my-deployment", "gpt-4o"), GPT_4O);
    assert_eq!(answered("gpt-4o", "something-new"), GPT_4O);
    assert_eq!(answered("something", "something-new"), None);
}

#[test]
fn what_is_not_paid_for_in_tokens_of_text_has_no_price() {
    for (provider, model) in [
        ("openai", "gpt-4o-audio-preview"),
        ("openai", "gpt-4o-transcribe"),
        ("openai", "gpt-image-1"),
        ("google", "gemini-2.5-flash-image"),
        ("google", "gemini-2.5-pro-preview-tts"),
        ("perplexity", "sonar-pro"),
        ("mistral", "mistral-ocr-latest"),
        ("groq", "whisper-large-v3"),
    ] {
        assert_eq!(price(provider, model), None, "{provider} {model}");
    }
}

#[test]
fn prices_are_those_of_the_day_and_of_the_hour_of_the_call() {
    let prices = embedded();
    let at = |provider, model, timestamp_ms| cost(prices, LlmTrace { timestamp_ms, ..call(provider, model) });

    // o3 became cheaper on 2025-06-10.
    assert_eq!(at("openai", "o3", day_ms("2025-06-09")), Some(1000 * 10_000_000 + 100 * 40_000_000));
    assert_eq!(at("openai", "o3", day_ms("2025-06-10")), Some(1000 * 2_000_000 + 100 * 8_000_000));
    // deepseek-chat was half the price at night.
    let midnight = day_ms("2026-11-24");
    let (dear, cheap) = (Some(1000 * 270_000 + 100 * 1_100_000), Some(1000 * 135_000 + 100 * 550_000));
    for (minute, wanted) in [(0, cheap), (29, cheap), (30, dear), (989, dear), (990, cheap), (1439, cheap)] {
        assert_eq!(at("deepseek", "deepseek-chat", midnight + minute * 60_000), wanted, "{minute}");
    }
}
