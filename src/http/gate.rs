//! Who may come in: `/healthz`, `/readyz`, the sign-in and the API's description are everybody's; `/api` and the page want
//! a token, and so does `/metrics`, unless the door is on loopback and was asked for by a name of it. To read wants `read`,
//! to act `operate`, and to take a secret `secrets`.
//!
//! A token is shown as a bearer. The page alone takes it as the password of HTTP Basic too, so that a browser without
//! scripts can ask. A browser sends that by itself with whatever another site makes it ask for; so it is good for reading
//! the page, which no other site can see into, and for nothing that acts.
//!
//! On loopback, only users of the machine can ask, and a scraper there should need no secret. But a web page in a browser
//! there can ask too, by a name that it makes lead to loopback (DNS rebinding), and so can anybody through a proxy there:
//! such a name is not loopback's, and whatever no scraper sends was added by a proxy; either wants a token.
//!
//! What comes in clear text from beyond this machine, although a proxy is to add TLS, did not come through the proxy: it
//! may ask for the daemon's health, and for nothing else.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, Version};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::billing::SIGNATURE;
use super::board::Board;
use super::metrics::Wrong;
use super::peer::{Peer, Way};
use super::problem::Problem;
use super::slots::Tag;
use super::tokens::Tokens;
use super::tries::Tries;
use crate::failure::Result;
use crate::loopback;
use crate::store::sql::now;
use crate::token::{Scope, Token};
use crate::turn::World;

/// Wrong tokens of one peer that are answered as what they are, within a minute.
const WRONG: u32 = 20;

/// What describes the API is everybody's.
pub const OPENAPI: &str = "/api/v1/openapi.json";
/// Whether the daemon lives, and whether it can be relied on, is everybody's, and hides nothing.
pub const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// Where callers of the older shape get a GUID.
pub const LEGACY: &str = "/api/hostprovisioner/generate";

/// How a browser is told to ask for a user and a password.
const BASIC: &str = "Basic realm=\"reconcile: the token is the password\", charset=\"UTF-8\"";

/// Lets in who may.
pub struct Gate {
    tokens: Tokens,
    tries: Tries,
}

/// Who asks, by the token that was shown. Each request that needed one carries it from here on.
#[derive(Clone, Debug)]
pub struct Caller {
    pub name: String,
    pub scope: Scope,
}

impl Caller {
    /// As the journal has it.
    pub fn actor(&self) -> String {
        format!("token {}", self.name)
    }

    /// The same, where the request says for whom it is.
    pub fn acting_for(&self, person: Option<&str>) -> String {
        match person {
            Some(person) => format!("{} for {person}", self.actor()),
            None => self.actor(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(no_token)
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// A token, but on loopback, where nothing.
    Neighbour,
    Token(Scope),
    /// A token that allows to look, shown in either way.
    Page,
    /// A signature; or, from whoever cannot sign, a token that allows to act.
    Signature,
}

impl Need {
    pub fn of(method: &Method, path: &str) -> Self {
        let is_looking = matches!(*method, Method::GET | Method::HEAD);
        match path.split('/').nth(1) {
            Some("webhooks") => Need::Signature,
            Some("metrics") => Need::Neighbour,
            Some("page") if is_looking => Need::Page,
            Some("page") => Need::Token(Scope::Operate),
            Some("api") if path == OPENAPI => Need::Nothing,
            Some("api") if is_looking => Need::Token(Scope::Read),
            Some("api") if path.ends_with("/claim") || path == LEGACY => Need::Token(Scope::Secrets),
            Some("api") => Need::Token(Scope::Operate),
            _ => Need::Nothing,
        }
    }
}

impl Gate {
    pub fn new(world: Arc<World>, board: Arc<Board>) -> Self {
        Self { tokens: Tokens::new(world), tries: Tries::new(Wrong::Token, WRONG, board) }
    }

    /// Who asks; `None`: nobody in particular, where that is enough.
    async fn admit(&self, head: &Head<'_>) -> std::result::Result<Option<Caller>, Problem> {
        let Head { method, uri, version, headers, peer, way } = *head;
        if !way.is_private && !PROBES.contains(&uri.path()) {
            let what = "clear text ends here: whoever can listen on the way would read what is said";
            return Err(Problem::new(StatusCode::FORBIDDEN, what).hint("ask through the proxy that adds TLS"));
        }
        let need = Need::of(method, uri.path());
        let scope = match need {
            Need::Nothing => return Ok(None),
            // It is checked where the body is, which it signs.
            Need::Signature if headers.contains_key(SIGNATURE) => return Ok(None),
            Need::Signature => Scope::Operate,
            Need::Neighbour if way.is_local && is_called_loopback(uri, headers) && !is_passed_on(version, headers) => {
                return Ok(None);
            }
            Need::Neighbour | Need::Page => Scope::Read,
            Need::Token(scope) => scope,
        };
        let Some(shown) = headers.get(AUTHORIZATION) else {
            return Err(match need {
                Need::Page => unauthorized(BASIC, "this wants a token, as the password or as a bearer"),
                _ => no_token(),
            });
        };
        let (scheme, rest) = shown.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
        let is_basic = need == Need::Page && scheme.eq_ignore_ascii_case("basic");
        let token = match () {
            () if is_basic => password(rest),
            () if scheme.eq_ignore_ascii_case("bearer") => Token::read(rest.trim()),
            () => None,
        };
        let attempt = self.tries.begin(None, peer);
        let caller = match &token {
            Some(token) => self.tokens.find(token).await?,
            None => None,
        };
        let Some(caller) = caller else {
            attempt.wrong()?;
            let how = if is_basic { BASIC } else { "Bearer realm=\"reconcile\", error=\"invalid_token\"" };
            return Err(unauthorized(how, "this is no token, or one that is unknown, expired or revoked"));
        };
        if caller.scope < scope {
            let what = format!("this wants the scope {}, and the token has {}", scope.word(), caller.scope.word());
            let how = "Bearer realm=\"reconcile\", error=\"insufficient_scope\"";
            return Err(Problem::new(StatusCode::FORBIDDEN, what).header(WWW_AUTHENTICATE, how));
        }
        Ok(Some(caller))
    }
}

/// The token in what a browser sends for HTTP Basic: the password, whoever the user says that they are.
fn password(text: &str) -> Option<Token> {
    let shown = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
    let (_, password) = std::str::from_utf8(&shown).ok()?.split_once(':')?;
    Token::read(password)
}

fn no_token() -> Problem {
    unauthorized("Bearer realm=\"reconcile\"", "this wants a token: `Authorization: Bearer rct_…`")
}

fn unauthorized(how: &'static str, what: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, what).header(WWW_AUTHENTICATE, how)
}

/// Whether the request names loopback, and nothing else: in its one `Host` header and, where it has it there too, in its
/// first line.
fn is_called_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(names_loopback) && uri.authority().is_none_or(|named| names_loopback(named.as_str()))
}

/// Of an authority, which may end with a port (RFC 3986, section 3.2).
fn names_loopback(authority: &str) -> bool {
    let is_port = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (host.ends_with(']') || !host.contains(':')) => host,
        _ => authority,
    };
    loopback::names_loopback(host)
}

/// What scrapers and browsers send by themselves, beside whatever begins with one of [`PLAIN_KINDS`].
const PLAIN: [&str; 17] = [
    "accept",
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "cookie",
    "dnt",
    "host",
    "if-modified-since",
    "if-none-match",
    "pragma",
    "priority",
    "referer",
    "te",
    "upgrade-insecure-requests",
    "user-agent",
    "x-prometheus-scrape-timeout-seconds",
];
const PLAIN_KINDS: [&str; 2] = ["accept-", "sec-"];

/// Whether somebody has passed the request on: it need not be a neighbour's, even if it came from one. A proxy says so in
/// a header of its own, and no list of these is ever whole (`X-Forwarded-For`, `Via`, `CF-Ray`, …): so whatever a scraper
/// does not send counts as one. A proxy that adds nothing often speaks HTTP/1.0, as nginx does, and no scraper does.
fn is_passed_on(version: Version, headers: &HeaderMap) -> bool {
    let is_plain = |name: &str| PLAIN.contains(&name) || PLAIN_KINDS.iter().any(|kind| name.starts_with(kind));
    version < Version::HTTP_11 || !headers.keys().all(|name| is_plain(name.as_str()))
}

/// Whether anybody could be let in from beyond loopback.
///
/// Errors: the database does not say.
pub async fn has_token(world: &World) -> Result<bool> {
    Ok(world.tokens().await?.iter().any(|token| token.is_good(now())))
}

/// What of a request says who may be let in.
#[derive(Clone, Copy)]
struct Head<'r> {
    method: &'r Method,
    uri: &'r Uri,
    version: Version,
    headers: &'r HeaderMap,
    peer: Peer,
    way: Way,
}

/// Asks each request for what it needs before it is looked at any further. One that showed a token goes on with its
/// [`Caller`].
pub async fn hold(State(gate): State<Arc<Gate>>, peer: Peer, mut request: Request, next: Next) -> Response {
    let Some(way) = request.extensions().get::<Way>().copied() else {
        // Every connection says how it came.
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request came from nowhere").answer();
    };
    let tag = request.extensions().get::<Tag>().cloned();
    let (version, headers) = (request.version(), request.headers());
    let head = Head { method: request.method(), uri: request.uri(), version, headers, peer, way };
    if let Some(tag) = tag.as_ref().filter(|_| head.headers.contains_key(AUTHORIZATION)) {
        // Until it is known to be wrong.
        tag.shows(true);
    }
    let admitted = gate.admit(&head).await;
    if let (Some(tag), Err(_) | Ok(None)) = (&tag, &admitted) {
        tag.shows(false);
    }
    match admitted {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(problem) => problem.answer(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_names_of_loopback_are_called_so() {
        let asked = |uri: &'static str, hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            is_called_loopback(&Uri::from_static(uri), &headers)
        };
        let called = |host: &'static str| asked("/metrics", &[host]);
        for host in ["localhost", "LOCALHOST:7326", "127.0.0.1:7326", "127.0.0.1", "[::1]:7326", "[::1]", "127.9.9.9:1"]
        {
            assert!(called(host), "{host}");
        }
        for host in
            ["", "example.org", "localhost.example.org:7326", "127.0.0.1.example.org", "10.0.0.1:7326", "[::2]:1", ":"]
        {
            assert!(!called(host), "{host}");
        }
        assert!(!asked("/metrics", &[]));
        assert!(!asked("/metrics", &["localhost", "example.org"]) && !asked("/metrics", &["localhost", "localhost"]));
        assert!(asked("http://localhost:7326/metrics", &["localhost:7326"]));
        assert!(!asked("http://example.org/metrics", &["localhost"]));
    }

    #[test]
    fn whatever_a_scraper_does_not_send_is_a_proxys() {
        let is_passed_on = |version, names: &[&'static str]| {
            let headers = names.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static("x")));
            is_passed_on(version, &headers.collect::<HeaderMap>())
        };
        let prometheus = ["host", "user-agent", "accept", "accept-encoding", "x-prometheus-scrape-timeout-seconds"];
        let browser =
            ["host", "connection", "accept-language", "sec-fetch-site", "sec-ch-ua", "cache-control", "cookie"];
        for sent in [&prometheus[..], &browser, &["host", "user-agent", "accept"], &["host"]] {
            assert!(!is_passed_on(Version::HTTP_11, sent), "{sent:?}");
            assert!(is_passed_on(Version::HTTP_10, sent), "{sent:?}");
        }
        for added in [
            "x-forwarded-for",
            "forwarded",
            "via",
            "x-real-ip",
            "cf-ray",
            "x-forward-for",
            "x-originating-ip",
            "x-remote-addr",
            "x-varnish",
            "x-request-id",
            "x-amz-cf-id",
            "x-cloud-trace-context",
            "x-envoy-attempt-count",
            "traceparent",
            "max-forwards",
            "proxy-connection",
            "x-scheme",
            "ssl-client-cert",
        ] {
            assert!(is_passed_on(Version::HTTP_11, &[&prometheus[..], &[added]].concat()), "{added}");
        }
    }

    #[test]
    fn the_api_always_wants_a_token_and_more_for_more() {
        let need = |method: Method, path| Need::of(&method, path);
        for path in ["/healthz", "/readyz", "/", "/nothing", "/apiary", "/pages", "/assets/page.js", OPENAPI] {
            assert_eq!(need(Method::GET, path), Need::Nothing, "{path}");
        }
        for path in ["/api", "/api/", "/api/v1/status", "/api/v2"] {
            assert_eq!(need(Method::GET, path), Need::Token(Scope::Read), "{path}");
            assert_eq!(need(Method::POST, path), Need::Token(Scope::Operate), "{path}");
        }
        for path in ["/api/v1/hosts/215/claim", "/api/v1/instances/x/claim", LEGACY] {
            assert_eq!(need(Method::POST, path), Need::Token(Scope::Secrets), "{path}");
        }
        assert_eq!(need(Method::GET, "/metrics"), Need::Neighbour);
        assert_eq!(need(Method::POST, "/webhooks/billing"), Need::Signature);
        for path in ["/page", "/page/", "/page/events"] {
            assert_eq!(need(Method::GET, path), Need::Page, "{path}");
            assert_eq!(need(Method::POST, path), Need::Token(Scope::Operate), "{path}");
        }
    }

    #[test]
    fn a_password_is_the_token_whoever_the_user_is() {
        let token = Token::mint().unwrap();
        let sent = |user: &str| STANDARD.encode(format!("{user}:{}", token.expose()));
        for user in ["", "noor", "Zoë"] {
            assert!(password(&sent(user)).is_some_and(|read| read.hash().is(&token.hash())), "{user}");
        }
        for wrong in
            [token.expose().to_owned(), STANDARD.encode(token.expose()), STANDARD.encode("noor:"), String::new()]
        {
            assert!(password(&wrong).is_none());
        }
    }
}
