use super::*;
use crate::event::Besides;

/// 3 in, 15 out, 0.3 read, 3.75 written.
fn mock() -> Prices {
    Prices::extended("openclaw-trace prices 1 extends\n*\tmock-model\t\t3\t15\t0.3\t3.75\n").unwrap()
}

#[test]
fn the_parts_of_a_prompt_have_their_own_prices() {
    let trace = LlmTrace {
        input_tokens: Some(1200),
        output_tokens: Some(45),
        cache_read_tokens: Some(1000),
        cache_write_tokens: Some(0),
        ..call("mockai", "mock-model")
    };
    assert_eq!(cost(&mock(), trace), PicoUsd::parse_usd("0.001575").map(|usd| usd.0));
    let trace = LlmTrace {
        input_tokens: Some(1250),
        output_tokens: Some(45),
        cache_read_tokens: Some(1000),
        cache_write_tokens: Some(50),
        ..call("mockai", "mock-model")
    };
    assert_eq!(cost(&mock(), trace), PicoUsd::parse_usd("0.0017625").map(|usd| usd.0));
}

#[test]
fn what_is_written_for_an_hour_is_dearer_and_part_of_what_is_written() {
    let trace = |write, hour| LlmTrace {
        input_tokens: Some(1000),
        output_tokens: None,
        cache_write_tokens: write,
        cache_write_1h_tokens: hour,
        ..call("anthropic", "claude-opus-4-8")
    };
    let prices = embedded();
    // 5 plain, 6.25 for minutes, 10 for an hour.
    for (write, hour, wanted) in [
        (None, None, 1000 * 5_000_000),
        (Some(400), None, 600 * 5_000_000 + 400 * 6_250_000),
        (Some(400), Some(100), 600 * 5_000_000 + 300 * 6_250_000 + 100 * 10_000_000),
        (Some(400), Some(400), 600 * 5_000_000 + 400 * 10_000_000),
        (None, Some(400), 600 * 5_000_000 + 400 * 10_000_000),
        (Some(100), Some(400), 600 * 5_000_000 + 400 * 10_000_000),
    ] {
        assert_eq!(cost(prices, trace(write, hour)), Some(wanted), "{write:?} {hour:?}");
    }
}

#[test]
fn a_price_that_is_missing_is_that_of_the_whole() {
    let prices = Prices::extended("openclaw-trace prices 1 extends\np\tm\t\t2\t3\n").unwrap();
    let trace = LlmTrace {
        cache_read_tokens: Some(300),
        cache_write_tokens: Some(200),
        cache_write_1h_tokens: Some(100),
        ..call("p", "m")
    };
    assert_eq!(cost(&prices, trace), Some(1000 * 2_000_000 + 100 * 3_000_000));
}

#[test]
fn counts_that_contradict_each_other_never_underflow() {
    let trace = LlmTrace {
        input_tokens: Some(10),
        output_tokens: Some(0),
        cache_read_tokens: Some(1000),
        cache_write_tokens: Some(2000),
        ..call("mockai", "mock-model")
    };
    assert_eq!(cost(&mock(), trace), Some(1000 * 300_000 + 2000 * 3_750_000));
    let negative = LlmTrace { input_tokens: Some(-5), output_tokens: Some(10), ..call("mockai", "mock-model") };
    assert_eq!(cost(&mock(), negative), Some(10 * 15_000_000));
}

#[test]
fn more_money_than_there_is_is_no_price() {
    for tokens in [i64::MAX, (1 << 53) - 1] {
        let trace = LlmTrace { input_tokens: Some(tokens), ..call("openai", "gpt-4o") };
        assert_eq!(cost(embedded(), trace), None, "{tokens}");
    }
    let all = LlmTrace {
        input_tokens: Some(i64::MAX),
        output_tokens: Some(i64::MAX),
        cache_read_tokens: Some(i64::MAX),
        cache_write_tokens: Some(i64::MAX),
        cache_write_1h_tokens: Some(i64::MAX),
        ..call("openai", "gpt-4o")
    };
    assert_eq!(cost(embedded(), all), None);
}

#[test]
fn a_tier_begins_with_the_token_after_its_number() {
    let of = |input| cost(embedded(), LlmTrace { input_tokens: Some(input), ..call("google", "gemini-2.5-pro") });
    assert_eq!(of(200_000), Some(200_000 * 1_250_000 + 100 * 10_000_000));
    assert_eq!(of(200_001), Some(200_001 * 2_500_000 + 100 * 15_000_000));
}

#[test]
fn a_sum_of_calls_is_priced_only_where_every_tier_it_may_be_of_is_the_same() {
    let of = |unit, input| {
        cost(embedded(), LlmTrace { unit, input_tokens: Some(input), ..call("google", "gemini-2.5-pro") })
    };
    for unit in [Unit::Turn, Unit::TurnSum, Unit::UsageOnly] {
        assert_eq!(of(unit, 200_000), Some(200_000 * 1_250_000 + 100 * 10_000_000));
        assert_eq!(of(unit, 200_001), None);
    }
}

#[test]
fn a_cost_that_somebody_said_stays_and_a_call_that_failed_has_none() {
    let prices = embedded();
    for pico in [0, 1] {
        let said = LlmTrace {
            cost: Some(PicoUsd(pico)),
            cost_source: CostSource::Client,
            ..call("anthropic", "claude-sonnet-4-5")
        };
        let mut trace = said.clone();
        assert_eq!(prices.fill(&mut trace), Filled::AlreadyCosted);
        assert_eq!(trace, said);
    }
    for (status, filled) in [
        (Status::Error, Filled::NothingToPrice),
        (Status::Timeout, Filled::Priced),
        (Status::Cancelled, Filled::Priced),
    ] {
        let mut trace = LlmTrace { status, ..call("anthropic", "claude-sonnet-4-5") };
        assert_eq!(prices.fill(&mut trace), filled, "{status:?}");
    }
}

#[test]
fn a_call_without_tokens_is_not_unpriced() {
    let prices = embedded();
    for (input, output, filled) in [
        (None, None, Filled::NothingToPrice),
        (Some(0), Some(0), Filled::NothingToPrice),
        (Some(0), None, Filled::NothingToPrice),
        (Some(1), None, Filled::Priced),
        (Some(0), Some(1), Filled::Priced),
        // A prompt of unknown length is no prompt of none.
        (None, Some(1), Filled::Unpriced),
    ] {
        let mut trace = LlmTrace { input_tokens: input, output_tokens: output, ..call("openai", "gpt-4o") };
        assert_eq!(prices.fill(&mut trace), filled, "{input:?} {output:?}");
        let mut unknown = LlmTrace { input_tokens: input, output_tokens: output, ..call("openai", "x") };
        let wanted = if filled == Filled::Priced { Filled::Unpriced } else { filled };
        assert_eq!(prices.fill(&mut unknown), wanted, "{input:?} {output:?}");
        assert_eq!(Prices::off().fill(&mut unknown), Filled::NothingToPrice);
    }
}

#[test]
fn unpriced_is_not_zero() {
    let mut trace = call("mockai", "mock-model");
    assert_eq!(embedded().fill(&mut trace), Filled::Unpriced);
    assert_eq!(trace, call("mockai", "mock-model"));
    assert_eq!((trace.cost, trace.cost_source, trace.price_version), (None, CostSource::None, None));
    // Known to be free is something else.
    assert_eq!(cost(embedded(), call("mistral", "mistral-nemo:free")), Some(0));
}

#[test]
fn an_embedding_costs_its_input() {
    let prices = embedded();
    let of = |output| cost(prices, LlmTrace { output_tokens: output, ..call("openai", "text-embedding-3-small") });
    assert_eq!(of(None), Some(1000 * 20_000));
    assert_eq!(of(Some(0)), Some(1000 * 20_000));
    assert_eq!(of(Some(1)), None);
}

#[test]
fn a_tier_of_service_has_the_price_that_the_table_has_for_it_or_none() {
    let prices = embedded();
    let of = |provider, model, tier: &str| {
        cost(prices, LlmTrace { service_tier: Some(tier.into()), ..call(provider, model) })
    };
    let usual = Some(1000 * 3_000_000 + 100 * 15_000_000);
    for tier in ["standard", "default", "auto", "on_demand", ""] {
        assert_eq!(of("anthropic", "claude-sonnet-4-5", tier), usual, "{tier}");
    }
    assert_eq!(of("anthropic", "claude-sonnet-4-5", "batch"), usual.map(|pico| pico / 2));
    assert_eq!(of("openai", "gpt-5", "flex"), Some(1000 * 625_000 + 100 * 5_000_000));
    assert_eq!(of("openai", "gpt-5", "priority"), Some(1000 * 2_500_000 + 100 * 20_000_000));
    for tier in ["priority", "flex", "scale", "reserved"] {
        assert_eq!(of("anthropic", "claude-sonnet-4-5", tier), None, "{tier}");
    }
    // Nobody has written down what the tier cost before its first day.
    let early = LlmTrace {
        service_tier: Some("batch".into()),
        timestamp_ms: day_ms("2026-10-13"),
        ..call("anthropic", "claude-sonnet-4-5")
    };
    assert_eq!(cost(prices, early), None);
}

#[test]
fn what_is_priced_apart_leaves_no_price_that_is_too_low() {
    let prices = embedded();
    let of = |provider, model, besides| cost(prices, LlmTrace { besides, ..call(provider, model) });
    let searches = Besides { searches: true, ..Besides::default() };
    let audio = Besides { audio: true, ..Besides::default() };
    assert_eq!(of("anthropic", "claude-sonnet-4-5", searches), None);
    assert_eq!(of("google", "gemini-2.5-flash", audio), None);
    assert!(of("anthropic", "claude-sonnet-4-5", audio).is_some());
    assert!(of("deepseek", "deepseek-chat", searches).is_some());
    assert!(of("google", "gemini-2.5-flash", Besides { images: true, ..Besides::default() }).is_some());
}
