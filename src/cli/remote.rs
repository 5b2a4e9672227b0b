//! What a daemon says over HTTP, for whoever has a token and nothing else: neither its database nor its files.

use serde::Deserialize;
use serde_json::Value as Json;

use super::args::Format;
use super::only;
use super::print::{out, out_json};
use crate::change::printable;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::port::client::{Address, ClientError, Page};
use crate::secret::Secret;

/// Where it stands, below the daemon's URL.
const STATUS: &str = "api/v1/status";

/// What a daemon answers where it cannot do what it is asked (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    hints: Vec<String>,
}

/// A daemon that is asked.
pub struct Daemon {
    address: Address,
    place: String,
    token: Option<Secret>,
}

impl Daemon {
    /// Errors: this is no URL of one.
    pub fn at(config: &Config, url: &str) -> Result<Self> {
        let address = Address::read(&Secret::new(url.to_owned()), config.allow_insecure).map_err(|what| {
            Failure::invalid(format!("--daemon {what}"))
                .hint("the daemon on this machine is asked with --daemon http://127.0.0.1:7326")
        })?;
        Ok(Self { place: address.place(), address, token: config.client_token.clone() })
    }

    /// What it answers below its URL, if that is no refusal.
    async fn get(&self, path: &str, accept: &str) -> Result<String> {
        let asked = self.address.get(path, accept, self.token.as_ref()).await;
        let page = asked.map_err(|error| unanswered(&self.place, &error))?;
        match page.status {
            200 => Ok(page.body),
            _ => Err(refused(&self.place, page, self.token.is_some())),
        }
    }

    /// The same as JSON.
    pub async fn json(&self, path: &str) -> Result<Json> {
        let body = self.get(path, "application/json").await?;
        serde_json::from_str(&body).map_err(|_| self.stranger())
    }

    /// What is said of whoever answers something else.
    pub fn stranger(&self) -> Failure {
        stranger(&self.place)
    }
}

pub async fn status(config: &Config, url: &str, format: Format) -> Result<u8> {
    only(format, &[Format::Text, Format::Json])?;
    let daemon = Daemon::at(config, url)?;
    if format == Format::Json {
        out_json(&daemon.json(STATUS).await?)?;
        return Ok(0);
    }
    let body = daemon.get(STATUS, "text/plain").await?;
    // What comes from elsewhere may hold anything.
    match body.starts_with("environment ") {
        true => out(&body.lines().map(|line| printable(line) + "\n").collect::<String>())?,
        false => return Err(daemon.stranger()),
    }
    Ok(0)
}

fn unanswered(place: &str, error: &ClientError) -> Failure {
    let failure = Failure::unavailable(format!("the daemon at {place} cannot be asked: {error}"));
    match error {
        ClientError::Unreachable(..) => failure.hint("where it listens stands in its log and in its http.listen"),
        ClientError::Tls(..) => {
            failure.hint("an authority that the system does not trust is trusted by SSL_CERT_FILE=FILE")
        }
        _ => failure,
    }
}

/// What a daemon says instead.
fn refused(place: &str, page: Page, has_token: bool) -> Failure {
    let Page { status, body } = page;
    let Ok(Problem { detail, hints }) = serde_json::from_str(&body) else {
        return stranger(place).hint(format!("it answers {status}"));
    };
    let failure = Failure::unavailable(format!("the daemon at {place} answers {status}: {detail}")).hints(hints);
    match (status, has_token) {
        (401, false) => failure.hint(
            "set RECONCILE_CLIENT_TOKEN or client.token_file; whoever runs the daemon makes a token with `reconcile token \
             create --scope read --name N`",
        ),
        _ => failure,
    }
}

fn stranger(place: &str) -> Failure {
    Failure::invalid(format!("what answers at {place} is no daemon of ours"))
}
