//! Credentials that can be told by their form: what vendors publish of it, the first line of a private key, and a password
//! in a URL. So one is known wherever it stands: in a state file, a reason, a row.
//!
//! The forms, each with its source, are in [`FORMS`], and nowhere else. A prefix alone is no credential: behind it stand at
//! least so many characters of its alphabet, drawn and not written.

#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// Stands for whatever is hidden; of one length, so that it tells nothing.
pub const MASK: &str = "********";
/// No credential of these forms is shorter, in bytes, and each has so many of [`may_be_part`] in a row.
pub const SHORTEST: usize = 15;
/// So many letters and digits in a row are no word.
const NO_WORD: usize = 20;

/// One published form.
struct Form {
    prefix: &'static str,
    /// As a message names it.
    what: &'static str,
    /// Characters behind the prefix, at least and at most.
    least: usize,
    most: usize,
    alphabet: fn(u8) -> bool,
    fits: fn(&str) -> bool,
}

const fn form(prefix: &'static str, what: &'static str, least: usize, alphabet: fn(u8) -> bool) -> Form {
    Form { prefix, what, least, most: usize::MAX, alphabet, fits: is_drawn }
}

const fn exact(prefix: &'static str, what: &'static str, length: usize, alphabet: fn(u8) -> bool) -> Form {
    Form { prefix, what, least: length, most: length, alphabet, fits: |_| true }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn word(byte: u8) -> bool {
    plain(byte) || byte == b'_'
}

fn hyphened(byte: u8) -> bool {
    word(byte) || byte == b'-'
}

fn dotted(byte: u8) -> bool {
    hyphened(byte) || byte == b'.'
}

fn base64(byte: u8) -> bool {
    plain(byte) || matches!(byte, b'+' | b'/')
}

fn hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn capitals(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

/// BIP 173's, in either case.
fn bech32(byte: u8) -> bool {
    plain(byte) && !matches!(byte.to_ascii_lowercase(), b'1' | b'b' | b'i' | b'o')
}

/// Whether a text was rather drawn than written: with a digit, a capital, or more letters in a row than a word has.
fn is_drawn(body: &str) -> bool {
    let longest = body.split(|letter: char| !letter.is_ascii_alphanumeric()).map(str::len).max().unwrap_or_default();
    longest >= NO_WORD || body.bytes().any(capitals)
}

/// So many parts between dots, each at least so long; the last may be of any length.
fn parts(body: &str, count: usize, least: usize) -> bool {
    let parts: Vec<&str> = body.split('.').collect();
    parts.len() >= count && parts.iter().take(count - 1).all(|part| part.len() >= least)
}

/// What vendors say of their credentials, by name of the vendor; and ours. Each line names where.
#[rustfmt::skip] // A line each.
static FORMS: [Form; 86] = [
    // github.com/FiloSottile/age, doc/age.1: keys in Bech32, of which the second is no secret, and has no place there either
    exact("AGE-SECRET-KEY-1", "an age key", 58, bech32),
    exact("age1", "an age key", 58, bech32),
    // docs.anthropic.com, "API keys"; platform.openai.com, "API keys"
    form("sk-ant-", "an Anthropic key", 20, hyphened),
    form("sk-proj-", "an OpenAI key", 20, hyphened),
    form("sk-svcacct-", "an OpenAI key", 20, hyphened),
    form("sk-admin-", "an OpenAI key", 20, hyphened),
    form("sk-", "an OpenAI key", 40, plain),
    // docs.aws.amazon.com, IAM, "Unique identifiers": access keys, lasting and temporary; bearers and context keys
    exact("AKIA", "an AWS access key", 16, capitals),
    exact("ASIA", "an AWS access key", 16, capitals),
    exact("ABIA", "an AWS access key", 16, capitals),
    exact("ACCA", "an AWS access key", 16, capitals),
    // docs.aws.amazon.com, Bedrock, "API keys"
    form("ABSK", "an AWS key", 60, base64),
    // support.atlassian.com, "API tokens"
    form("ATATT3", "an Atlassian token", 60, hyphened),
    form("ATCTT3", "an Atlassian token", 60, hyphened),
    // buildkite.com/docs/platform/security/tokens
    form("bkua_", "a Buildkite token", 30, plain),
    // doc.rust-lang.org/cargo/reference/registries.html; github.com/rust-lang/crates.io, src/util/token.rs
    exact("cio", "a crates.io token", 32, plain),
    // docs.databricks.com, "personal access tokens"
    form("dapi", "a Databricks token", 32, hex),
    // docs.digitalocean.com, "API tokens"
    form("dop_v1_", "a DigitalOcean token", 40, hex),
    form("doo_v1_", "a DigitalOcean token", 40, hex),
    form("dor_v1_", "a DigitalOcean token", 40, hex),
    // docs.docker.com/security/access-tokens
    form("dckr_pat_", "a Docker token", 20, hyphened),
    form("dckr_oat_", "a Docker token", 20, hyphened),
    // docs.doppler.com/docs/service-tokens
    form("dp.pt.", "a Doppler token", 40, plain),
    form("dp.st.", "a Doppler token", 40, dotted),
    // docs.github.com, "About authentication to GitHub", "GitHub's token formats"
    form("ghp_", "a GitHub token", 20, plain),
    form("gho_", "a GitHub token", 20, plain),
    form("ghu_", "a GitHub token", 20, plain),
    form("ghs_", "a GitHub token", 20, plain),
    form("ghr_", "a GitHub token", 20, plain),
    form("github_pat_", "a GitHub token", 22, word),
    // docs.gitlab.com/security/tokens, "Token prefixes"
    form("glpat-", "a GitLab token", 20, dotted),
    form("gldt-", "a GitLab token", 20, hyphened),
    form("glrt-", "a GitLab token", 20, dotted),
    form("glrtr-", "a GitLab token", 20, dotted),
    form("glcbt-", "a GitLab token", 20, hyphened),
    form("glptt-", "a GitLab token", 20, hyphened),
    form("glft-", "a GitLab token", 20, hyphened),
    form("glimt-", "a GitLab token", 20, hyphened),
    form("glagent-", "a GitLab token", 20, hyphened),
    form("glwt-", "a GitLab token", 20, hyphened),
    form("glsoat-", "a GitLab token", 20, hyphened),
    form("glffct-", "a GitLab token", 20, hyphened),
    form("gloas-", "a GitLab token", 20, hyphened),
    // cloud.google.com/docs/authentication/api-keys; developers.google.com/identity/protocols/oauth2
    exact("AIza", "a Google key", 35, hyphened),
    form("ya29.", "a Google token", 20, hyphened),
    form("GOCSPX-", "a Google client secret", 20, hyphened),
    // grafana.com/docs, "Service accounts", "Cloud access policies"
    form("glsa_", "a Grafana token", 32, word),
    form("glc_", "a Grafana token", 32, base64),
    // console.groq.com/docs
    form("gsk_", "a Groq key", 40, plain),
    // huggingface.co/docs/hub/security-tokens
    form("hf_", "a Hugging Face token", 30, plain),
    form("api_org_", "a Hugging Face token", 30, plain),
    // developer.hashicorp.com/vault/docs/concepts/tokens
    form("hvs.", "a Vault token", 20, hyphened),
    form("hvb.", "a Vault token", 20, hyphened),
    form("hvr.", "a Vault token", 20, hyphened),
    // linear.app/developers
    form("lin_api_", "a Linear key", 30, plain),
    // documentation.mailgun.com
    exact("key-", "a Mailgun key", 32, hex),
    // docs.newrelic.com, "API keys"
    form("NRAK-", "a New Relic key", 20, capitals),
    // developers.notion.com/reference/authentication
    form("ntn_", "a Notion token", 30, plain),
    // docs.npmjs.com, "About access tokens"
    form("npm_", "an npm token", 30, plain),
    // planetscale.com/docs
    form("pscale_tkn_", "a PlanetScale token", 30, hyphened),
    form("pscale_pw_", "a PlanetScale password", 30, hyphened),
    // learning.postman.com/docs
    form("PMAK-", "a Postman key", 40, hyphened),
    // pulumi.com/docs, "Access tokens"
    exact("pul-", "a Pulumi token", 40, hex),
    // pypi.org/help, "API tokens"
    form("pypi-", "a PyPI token", 50, hyphened),
    // replicate.com/docs
    form("r8_", "a Replicate token", 30, plain),
    // guides.rubygems.org/api-key-scopes
    form("rubygems_", "a RubyGems key", 40, hex),
    // this program, `token create`; src/token.rs
    form("rct_", "a token of reconcile", 40, hyphened),
    // RFC 7519, section 3: a header and claims, each a JSON object in Base64url, and a signature
    Form { prefix: "eyJ", what: "a JSON Web Token", least: 20, most: usize::MAX, alphabet: dotted, fits: |body| parts(body, 3, 8) },
    // docs.sendgrid.com, "API keys"
    Form { prefix: "SG.", what: "a SendGrid key", least: 32, most: usize::MAX, alphabet: dotted, fits: |body| parts(body, 2, 16) },
    // docs.sentry.io/account/auth-tokens
    form("sntrys_", "a Sentry token", 40, base64),
    form("sntryu_", "a Sentry token", 40, hex),
    // shopify.dev/docs/apps/auth
    form("shpat_", "a Shopify token", 32, hex),
    form("shpss_", "a Shopify secret", 32, hex),
    // api.slack.com/authentication/token-types
    form("xoxa-", "a Slack token", 10, hyphened),
    form("xoxb-", "a Slack token", 10, hyphened),
    form("xoxe.xoxb-", "a Slack token", 10, hyphened),
    form("xoxe.xoxp-", "a Slack token", 10, hyphened),
    form("xoxe-", "a Slack token", 10, hyphened),
    form("xoxp-", "a Slack token", 10, hyphened),
    form("xapp-", "a Slack token", 10, hyphened),
    // docs.stripe.com/keys; docs.stripe.com/webhooks, and Standard Webhooks 1.0.0
    form("sk_live_", "a Stripe key", 10, plain),
    form("sk_test_", "a Stripe key", 10, plain),
    form("rk_live_", "a Stripe key", 10, plain),
    form("rk_test_", "a Stripe key", 10, plain),
    form("whsec_", "a webhook's key", 24, base64),
    // tailscale.com/kb/1085/auth-keys
    form("tskey-", "a Tailscale key", 20, hyphened),
];

/// The forms by the first byte of their prefix, which is ASCII: nearly every word begins none.
static BY_FIRST: LazyLock<[Vec<&'static Form>; 128]> = LazyLock::new(|| {
    let begins = |form: &&Form, byte: usize| form.prefix.bytes().next().map(usize::from) == Some(byte);
    std::array::from_fn(|byte| FORMS.iter().filter(|form| begins(form, byte)).collect())
});

/// Whether a byte may be part of a credential.
pub fn may_be_part(byte: u8) -> bool {
    dotted(byte) || base64(byte)
}

/// What in `text` has the form of a credential: where, and what it is. Takes no longer than the text is long.
pub fn find(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let (mut found, mut at, mut before) = (Vec::new(), 0, b' ');
    while let Some(byte) = text.as_bytes().get(at) {
        // Bytes beyond ASCII are no letters of any form.
        let begins = plain(*byte) && !plain(before);
        let forms = BY_FIRST.get(usize::from(*byte)).filter(|_| begins);
        let end = forms.into_iter().flatten().find_map(|form| Some((form.end(text, at)?, form.what)));
        before = *byte;
        at = match end {
            Some((end, what)) => {
                found.push((at..end, what));
                end
            }
            None => at + 1,
        };
    }
    let first_line = |words: &str, what: &str| text.find(words).filter(|at| text[*at..].contains(what));
    let keys = [first_line("-----BEGIN", "PRIVATE KEY"), first_line("PuTTY-User-Key-File-", "")];
    found.extend(keys.into_iter().flatten().map(|at| (at..text.len(), "a private key")));
    found.extend(passwords(text).map(|range| (range, "a URL with a password")));
    found
}

impl Form {
    /// Where a credential of this form ends that begins at `at`, where no word is under way.
    fn end(&self, text: &str, at: usize) -> Option<usize> {
        /// So much is looked at to tell whether it is one.
        const TELLING: usize = 256;
        let Self { prefix, what: _, least, most, alphabet, fits } = self;
        let rest = text.get(at..)?.strip_prefix(prefix)?;
        let run = |text: &str| text.bytes().position(|byte| !alphabet(byte)).unwrap_or(text.len());
        let has_one_length = *most != usize::MAX;
        // What ends a sentence ends no credential.
        let trimmed =
            |body: &'_ str| if has_one_length { body.len() } else { body.trim_end_matches(['.', '-', '_']).len() };
        let head = &rest[..rest.floor_char_boundary(TELLING)];
        let head = &head[..run(head)];
        let body = &head[..trimmed(head)];
        // Where it has one length, a word that goes on is another.
        let is_whole = !has_one_length || !rest[head.len()..].bytes().next().is_some_and(plain);
        let is_one = (*least..=*most).contains(&body.len()) && is_whole && fits(body);
        is_one.then(|| at + prefix.len() + trimmed(&rest[..run(rest)]))
    }
}

/// The passwords of the URLs in a text.
fn passwords(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(separator, _)| {
        let from = separator + 3;
        let authority = text[from..].split([' ', '\t', '/', '"', '\'', '?', '#']).next()?;
        let (user_and_password, _) = authority.rsplit_once('@')?;
        let (user, password) = user_and_password.split_once(':').filter(|(_, password)| !password.is_empty())?;
        let start = from + user.len() + 1;
        Some(start..start + password.len())
    })
}

/// What the first credential in a text is, if there is one.
pub fn first(text: &str) -> Option<&'static str> {
    find(text).into_iter().min_by_key(|(range, _)| range.start).map(|(_, what)| what)
}

/// The text, with [`MASK`] in the place of each credential.
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut found = find(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|(range, _)| range.start);
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    for (range, _) in found {
        if range.start >= at {
            shown.push_str(&text[at..range.start]);
            shown.push_str(MASK);
        }
        at = at.max(range.end);
    }
    shown.push_str(&text[at..]);
    Cow::Owned(shown)
}
