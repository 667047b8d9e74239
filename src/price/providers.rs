//! Who serves a model: what producers call the providers of the table, and which names of models say by themselves whose
//! they are.

use std::borrow::Cow;

use super::pattern::matches;

/// What a call says of its model, in lower case.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// The provider's name in the table; of one that we do not know, its own. Empty = not said.
    pub(super) provider: Cow<'a, str>,
    /// Whether we know it.
    pub(super) is_known: bool,
    /// The model.
    pub(super) model: Cow<'a, str>,
}

/// One provider of the table.
struct Provider {
    /// Its name there.
    name: &'static str,
    /// What else it is called.
    aliases: &'static [&'static str],
    /// Whose models it serves at their makers' prices, where it has none of its own.
    resells: &'static [&'static str],
}

const PROVIDERS: &[Provider] = &[
    provider("anthropic", &["claude", "anthropic-claude"], &[]),
    provider("aws", &["bedrock", "aws.bedrock", "aws-bedrock", "amazon-bedrock", "amazon", "aws.bedrock.runtime"], &[]),
    provider(
        "azure",
        &["azure-openai", "azure.ai.openai", "azure.ai.inference", "az.ai.openai", "az.ai.inference", "azure-ai"],
        &["openai", "anthropic", "deepseek", "x-ai", "moonshotai"],
    ),
    provider("baseten", &[], &[]),
    provider("cerebras", &[], &[]),
    provider("cohere", &[], &[]),
    provider("deepseek", &["deep-seek"], &[]),
    provider("fireworks", &["fireworks-ai", "fireworksai"], &[]),
    provider("github-copilot", &["copilot"], &[]),
    provider(
        "google",
        &[
            "gemini",
            "google-gemini",
            "google-genai",
            "google-ai",
            "google-vertex",
            "google-vertex-ai",
            "gcp",
            "gcp.gemini",
            "gcp.gen-ai",
            "gcp.vertex-ai",
            "vertex",
            "vertex-ai",
            "vertexai",
            "generative-ai",
        ],
        &["anthropic"],
    ),
    provider("groq", &[], &[]),
    provider("meta", &[], &[]),
    provider("minimax", &[], &[]),
    provider("mistral", &["mistral-ai", "mistralai"], &[]),
    provider("moonshotai", &["moonshot", "moonshot-ai", "kimi"], &[]),
    provider("openai", &["open-ai"], &[]),
    provider("perplexity", &["perplexity-ai"], &[]),
    provider("together", &["together-ai", "togetherai"], &[]),
    provider("voyageai", &["voyage", "voyage-ai"], &[]),
    provider("x-ai", &["xai", "x.ai"], &[]),
    provider("zai", &["z-ai", "z.ai"], &[]),
    provider("zhipuai", &["zhipu", "zhipu-ai", "bigmodel"], &[]),
];

const fn provider(name: &'static str, aliases: &'static [&'static str], resells: &'static [&'static str]) -> Provider {
    Provider { name, aliases, resells }
}

/// Names that one maker alone gives: whoever passes such a model on, it is that maker's. Models whose weights anybody
/// may serve (gpt-oss, llama, deepseek-v3, kimi-k2, glm, qwen) are not among them.
const OWN_MODELS: &[(&str, &[&str])] = &[
    ("anthropic", &["claude-*"]),
    (
        "openai",
        &[
            "gpt-3.5-*",
            "gpt-4*",
            "gpt-5*",
            "gpt-6*",
            "chatgpt-*",
            "o1",
            "o1-*",
            "o3",
            "o3-*",
            "o4-mini*",
            "codex-mini*",
            "text-embedding-3-*",
            "text-embedding-ada-*",
        ],
    ),
    ("google", &["gemini-*"]),
    ("x-ai", &["grok-*"]),
    ("deepseek", &["deepseek-chat", "deepseek-reasoner"]),
    ("mistral", &["mistral-large*", "mistral-medium*", "codestral-*", "magistral-medium*"]),
    ("moonshotai", &["moonshot-v1-*"]),
    ("cohere", &["command-*"]),
    ("perplexity", &["sonar", "sonar-*"]),
    ("voyageai", &["voyage-*"]),
    ("aws", &["anthropic.claude-*", "*.anthropic.claude-*", "amazon.nova-*", "*.amazon.nova-*", "amazon.titan-*"]),
];

impl<'a> Asked<'a> {
    /// From the names as they came.
    pub(super) fn new(provider: Option<&'a str>, model: &'a str) -> Asked<'a> {
        let provider = lower(provider.unwrap_or_default().trim());
        let model = lower(model.trim());
        match known(&provider) {
            Some(name) => Asked { provider: name.into(), is_known: true, model },
            None => Asked { provider, is_known: false, model },
        }
    }

    /// Every provider and name under which the model may stand in a table, the closest first.
    pub(super) fn names(&self, try_name: &mut dyn FnMut(&str, &str) -> bool) -> bool {
        let model = &*self.model;
        if !self.provider.is_empty() && try_name(&self.provider, model) {
            return true;
        }
        if self.is_known {
            return self.names_of_known(try_name);
        }
        if self.provider.is_empty()
            && let Some((provider, rest)) = with_provider(model)
        {
            return Asked { provider: provider.into(), is_known: true, model: rest.into() }.names(try_name);
        }
        own(model).is_some_and(|(provider, model)| try_name(provider, model))
    }

    /// `models/gemini-...` and `anthropic/claude-...` are the names behind the slash, and where another maker's models are
    /// sold as his, he is asked too.
    fn names_of_known(&self, try_name: &mut dyn FnMut(&str, &str) -> bool) -> bool {
        let short = self.model.rsplit_once('/').filter(|(before, _)| {
            let maker = before.rsplit('/').next().unwrap_or_default();
            maker == "models" || known(maker) == Some(&*self.provider)
        });
        let short = short.map(|(_, name)| name);
        let resells = PROVIDERS.iter().find(|p| p.name == self.provider).map_or(&[][..], |p| p.resells);
        short.is_some_and(|name| try_name(&self.provider, name))
            || resells
                .iter()
                .any(|maker| try_name(maker, &self.model) || short.is_some_and(|name| try_name(maker, name)))
    }
}

/// The name in the table of a provider that we know: by one of its names, or by the part before the first dot, as the AI
/// SDK writes it (`openai.responses`).
pub(super) fn known(provider: &str) -> Option<&'static str> {
    let dashed: Cow<'_, str> = if provider.contains('_') { provider.replace('_', "-").into() } else { provider.into() };
    let find = |name: &str| PROVIDERS.iter().find(|p| p.name == name || p.aliases.contains(&name)).map(|p| p.name);
    find(&dashed).or_else(|| find(dashed.split('.').next()?))
}

/// A model that is written with its provider before it.
fn with_provider(model: &str) -> Option<(&'static str, &str)> {
    let (provider, rest) = model.split_once('/')?;
    Some((known(provider)?, rest))
}

/// Whose a model is by its name alone, and that name. What stands before a slash must not say otherwise.
fn own(model: &str) -> Option<(&'static str, &str)> {
    let (before, name) = model.rsplit_once('/').unwrap_or(("", model));
    let (maker, _) = OWN_MODELS.iter().find(|(_, names)| names.iter().any(|pattern| matches(pattern, name)))?;
    let said = before.rsplit('/').next().filter(|said| !said.is_empty() && *said != "models");
    let agrees = said.is_none_or(|said| known(said) == Some(maker));
    agrees.then_some((maker, name))
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}
