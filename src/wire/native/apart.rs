//! What decides the price of a call beside its tokens: the tier of service, and what is priced apart. All of it is
//! kept in `attributes` as well.

use super::fields::{Extra, Fields, each_field, each_item};
use super::names::Column;
use super::value;
use crate::event::Besides;
use crate::price::is_usual_tier;

/// The longest tier that has a name has ten letters.
const TIER_BYTES_MAX: usize = 64;

/// The tier of service, in lower case: what the usage tells, else what the item does. Anthropic's `speed` is one too.
pub(super) fn service_tier(fields: &mut Fields<'_>) -> Option<Box<str>> {
    let word = |column| {
        let text = value::text(fields.column(column)?.raw)?;
        Some(text[..text.floor_char_boundary(TIER_BYTES_MAX)].to_ascii_lowercase()).filter(|word| !word.is_empty())
    };
    let tier = word(Column::UsageServiceTier).or_else(|| word(Column::ServiceTier));
    let speed = word(Column::Speed).filter(|speed| !is_usual_tier(speed));
    if let Some(found) = fields.column(Column::ServiceTier) {
        fields.keep_apart(found.name.into(), found.raw);
    }
    let tier = match (tier, speed) {
        (Some(tier), Some(speed)) if !is_usual_tier(&tier) => Some(format!("{tier} {speed}")),
        (tier, speed) => speed.or(tier),
    };
    tier.map(String::into_boxed_str)
}

/// What the counts that have no column tell of.
pub(super) fn besides(extras: &[Extra<'_>]) -> Besides {
    let mut besides = Besides::default();
    for Extra { key, raw, .. } in extras {
        let name = key.rsplit('.').next().unwrap_or_default();
        if let Some((_, kind)) = COUNTS.iter().find(|(count, _)| *count == name) {
            if value::integer(raw).is_some_and(|count| count > 0) {
                kind(&mut besides);
            }
        } else if GEMINI_LISTS.contains(&name) {
            of_gemini(raw, &mut besides);
        }
    }
    besides
}

type Kind = fn(&mut Besides);

/// Counts of what may be priced apart.
const COUNTS: &[(&str, Kind)] = &[
    ("audio_tokens", |besides| besides.audio = true),
    ("image_tokens", |besides| besides.images = true),
    ("video_tokens", |besides| besides.video = true),
    ("web_search_requests", |besides| besides.searches = true),
    ("num_search_queries", |besides| besides.searches = true),
    ("num_sources_used", |besides| besides.searches = true),
];

/// Where Gemini tells of what its tokens are: `[{"modality": "AUDIO", "tokenCount": 7}]`.
const GEMINI_LISTS: &[&str] = &[
    "promptTokensDetails",
    "candidatesTokensDetails",
    "cacheTokensDetails",
    "toolUsePromptTokensDetails",
    "prompt_tokens_details",
    "candidates_tokens_details",
    "cache_tokens_details",
    "tool_use_prompt_tokens_details",
];

fn of_gemini(list: &str, besides: &mut Besides) {
    let mut each = |item: &str| {
        let (mut modality, mut count) = (None, None);
        let read = each_field(item, &mut |key, raw| match &*key {
            "modality" => modality = value::text(raw),
            "tokenCount" | "token_count" => count = value::integer(raw),
            _ => {}
        });
        if read.is_err() || count.unwrap_or(0) == 0 {
            return;
        }
        match modality.as_deref() {
            Some("AUDIO") => besides.audio = true,
            Some("IMAGE" | "DOCUMENT") => besides.images = true,
            Some("VIDEO") => besides.video = true,
            _ => {}
        }
    };
    if list.starts_with('[') {
        let read = each_item(list, &mut each);
        debug_assert!(read.is_ok(), "what serde_json has read and begins as a list is one");
    }
}
