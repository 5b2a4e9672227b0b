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

pub async fn status(config: &Config, url: &str, format: Format) -> Result<u8> {
    only(format, &[Format::Text, Format::Json])?;
    let address = Address::read(&Secret::new(url.to_owned()), config.allow_insecure).map_err(|what| {
        Failure::invalid(format!("--daemon {what}"))
            .hint("the daemon on this machine is asked with --daemon http://127.0.0.1:7326")
    })?;
    let accept = if format == Format::Json { "application/json" } else { "text/plain" };
    let place = address.place();
    let asked = address.get(STATUS, accept, config.client_token.as_ref()).await;
    let page = asked.map_err(|error| unanswered(&place, &error))?;
    if page.status != 200 {
        return Err(refused(&place, page, config.client_token.is_some()));
    }
    match format {
        Format::Json => {
            let json: Json = serde_json::from_str(&page.body).map_err(|_| stranger(&place))?;
            out_json(&json)?;
        }
        // What comes from elsewhere may hold anything.
        _ if page.body.starts_with("environment ") => {
            out(&page.body.lines().map(|line| printable(line) + "\n").collect::<String>())?;
        }
        _ => return Err(stranger(&place)),
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
