//! Who may come in: `/healthz`, `/readyz`, the sign-in and the API's description are everybody's; `/api` and the page want
//! a token, and so does `/metrics`, unless the door is on loopback and was asked for by a name of it. To read wants `read`,
//! to act `operate`, and to take a secret `secrets`.
//!
//! A token is shown as a bearer. The page alone takes it as the password of HTTP Basic too, so that a browser without
//! scripts can ask. A browser sends that by itself with whatever another site makes it ask for; so it is good for reading
//! the page, which no other site can see into, and for nothing that acts.
//!
//! On loopback, only users of the machine can ask, and a scraper there should need no secret. But a web page in a browser
//! there can ask too, by a name that it makes lead to loopback (DNS rebinding), and so can anybody through a proxy there
//! that passes names on: such a name is not loopback's, and wants a token.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::billing::SIGNATURE;
use super::problem::Problem;
use crate::failure::Result;
use crate::store::sql::now;
use crate::store::tokens::Known;
use crate::token::{Scope, Token};
use crate::turn::World;

/// A token that was revoked is refused this soon.
const FRESH: Duration = Duration::from_secs(5);
/// A token that was just made is known this soon. However many wrong ones come, the database is not asked more often.
const LEAST: Duration = Duration::from_secs(1);
/// How long tokens count as the database had them last, while it is away: the metrics are wanted most just then.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// How long the database may take to say which there are.
const LIMIT: Duration = Duration::from_secs(5);

/// What describes the API is everybody's.
pub const OPENAPI: &str = "/api/v1/openapi.json";
/// Where callers of the older shape get a GUID.
pub const LEGACY: &str = "/api/hostprovisioner/generate";

/// How a browser is told to ask for a user and a password.
const BASIC: &str = "Basic realm=\"reconcile: the token is the password\", charset=\"UTF-8\"";

/// Lets in who may.
pub struct Gate {
    world: Arc<World>,
    is_loopback: bool,
    seen: Mutex<Seen>,
}

/// What the database had.
#[derive(Default)]
struct Seen {
    tokens: Vec<Known>,
    /// When it said so.
    at: Option<Instant>,
    /// When it was asked last, or last gave no answer.
    asked: Option<Instant>,
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
    pub fn new(world: Arc<World>, is_loopback: bool) -> Self {
        Self { world, is_loopback, seen: Mutex::default() }
    }

    /// Who asks; `None`: nobody in particular, where that is enough.
    async fn admit(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> std::result::Result<Option<Caller>, Problem> {
        let need = Need::of(method, uri.path());
        let scope = match need {
            Need::Nothing => return Ok(None),
            // It is checked where the body is, which it signs.
            Need::Signature if headers.contains_key(SIGNATURE) => return Ok(None),
            Need::Signature => Scope::Operate,
            Need::Neighbour if self.is_loopback && is_called_loopback(uri, headers) => return Ok(None),
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
        let wrong = || {
            let how = if is_basic { BASIC } else { "Bearer realm=\"reconcile\", error=\"invalid_token\"" };
            unauthorized(how, "this is no token, or one that is unknown, expired or revoked")
        };
        let caller = self.find(&token.ok_or_else(wrong)?).await?.ok_or_else(wrong)?;
        if caller.scope < scope {
            let what = format!("this wants the scope {}, and the token has {}", scope.word(), caller.scope.word());
            let how = "Bearer realm=\"reconcile\", error=\"insufficient_scope\"";
            return Err(Problem::new(StatusCode::FORBIDDEN, what).header(WWW_AUTHENTICATE, how));
        }
        Ok(Some(caller))
    }

    /// Whose the token is, and what it allows, if it is good.
    ///
    /// Errors: which tokens there are is not known.
    async fn find(&self, token: &Token) -> std::result::Result<Option<Caller>, Problem> {
        let mut seen = self.seen.lock().await;
        let is_old = |limit: Duration, at: Option<Instant>| at.is_none_or(|at| at.elapsed() >= limit);
        if is_old(FRESH, seen.at) && is_old(LEAST, seen.asked) {
            self.ask(&mut seen).await;
        }
        let mut found = good(&seen.tokens, token);
        if found.is_none() && is_old(LEAST, seen.asked) {
            self.ask(&mut seen).await;
            found = good(&seen.tokens, token);
        }
        match is_old(KEPT, seen.at) {
            true => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database does not say which tokens there are, so nobody is let in",
            )),
            false => Ok(found),
        }
    }

    async fn ask(&self, seen: &mut Seen) {
        let begun = Some(Instant::now());
        // Whoever asks may be gone before there is an answer.
        seen.asked = begun;
        match tokio::time::timeout(LIMIT, self.world.tokens()).await {
            Ok(Ok(tokens)) => (seen.tokens, seen.at) = (tokens, begun),
            Ok(Err(failure)) => tracing::debug!("the tokens cannot be read: {}", failure.line()),
            Err(_) => tracing::debug!("the tokens cannot be read in time"),
        }
        // Those who have waited for this answer meanwhile do not each wait for another.
        seen.asked = Some(Instant::now());
    }
}

/// Compared with each, so that the time tells nothing of which it is nearest to.
fn good(tokens: &[Known], token: &Token) -> Option<Caller> {
    let (hash, now) = (token.hash(), now());
    let alike = tokens.iter().fold(None, |found, known| if known.hash.is(&hash) { Some(known) } else { found });
    let known = alike.filter(|known| known.is_good(now))?;
    Some(Caller { name: known.name.clone(), scope: known.scope })
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

fn names_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_loopback = |address: IpAddr| address.is_loopback();
    name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(is_loopback)
        || host.trim_matches(['[', ']']).parse().is_ok_and(is_loopback)
        || host.parse::<SocketAddr>().is_ok_and(|address| is_loopback(address.ip()))
}

/// Whether anybody could be let in from beyond loopback.
///
/// Errors: the database does not say.
pub async fn has_token(world: &World) -> Result<bool> {
    Ok(world.tokens().await?.iter().any(|token| token.is_good(now())))
}

/// Asks each request for what it needs before it is looked at any further. One that showed a token goes on with its
/// [`Caller`].
pub async fn hold(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    match gate.admit(request.method(), request.uri(), request.headers()).await {
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
