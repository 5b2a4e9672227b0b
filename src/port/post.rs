//! Posting a message to somebody's webhook: one connection, one request, every wait with a limit, and no redirects.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use crate::secret::Secret;

/// How long it may take until the answer is there.
const LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are looked at, and for how long: whoever sends more, or more slowly, has taken the
/// message all the same.
const REST: (usize, Duration) = (64 * 1024, Duration::from_secs(1));

/// Where messages are posted to. The whole URL is a secret: for many receivers, to know it is to be allowed to post.
#[derive(Clone)]
pub struct Address {
    url: Secret,
    host: String,
    port: u16,
    is_tls: bool,
}

/// Why a message was not taken. Never shows the URL.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, io::Error),
    #[error("no trusted TLS with {0}: {1}")]
    Tls(String, io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the receiver answers {0}")]
    Refused(u16),
    #[error("no answer within {} s", LIMIT.as_secs())]
    Silent,
    #[error("the request cannot be written")]
    Malformed,
}

impl Address {
    /// Reads the URL of a webhook. Beyond this machine it wants TLS, unless `unverified` networks are trusted.
    ///
    /// Errors: what is wrong, without a word of what stands there.
    pub fn read(text: &Secret, unverified: bool) -> Result<Self, String> {
        let url = Url::parse(text.expose().trim()).map_err(|error| format!("holds no URL: {error}"))?;
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err("must hold a URL that begins with https://".to_owned()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "holds a URL with a user, which would go nowhere: receivers know us by its path or by our signature"
                    .to_owned(),
            );
        }
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            None => return Err("holds a URL without a host".to_owned()),
        };
        if !is_tls && !is_here && !unverified {
            return Err(
                "must hold an https:// URL beyond this machine, unless allow_insecure says otherwise".to_owned()
            );
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        Ok(Self { url: Secret::new(url.into()), host, port, is_tls })
    }

    /// Posts one message as JSON.
    ///
    /// Guarantees: `Ok` means that the receiver has taken it. Errors: it may have taken it all the same.
    pub async fn post(&self, headers: &[(&'static str, String)], body: String) -> Result<(), PostError> {
        tokio::time::timeout(LIMIT, self.exchange(headers, body)).await.unwrap_or(Err(PostError::Silent))
    }

    async fn exchange(&self, headers: &[(&'static str, String)], body: String) -> Result<(), PostError> {
        let unreachable = |error| PostError::Unreachable(self.host.clone(), error);
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        let status = if self.is_tls {
            let broken = |error| PostError::Tls(self.host.clone(), error);
            let name = ServerName::try_from(self.host.clone()).map_err(|error| broken(io::Error::other(error)))?;
            let stream = TlsConnector::from(trusting()).connect(name, stream).await.map_err(broken)?;
            self.ask(stream, headers, body).await?
        } else {
            self.ask(stream, headers, body).await?
        };
        if (200..300).contains(&status) { Ok(()) } else { Err(PostError::Refused(status)) }
    }

    async fn ask<S>(&self, stream: S, headers: &[(&'static str, String)], body: String) -> Result<u16, PostError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let talking = tokio::spawn(connection);
        let answered = async {
            let url = Url::parse(self.url.expose()).map_err(|_| PostError::Malformed)?;
            let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
            let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
            let mut request = Request::post(path)
                .header(header::HOST, host)
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::USER_AGENT, concat!("reconcile/", env!("CARGO_PKG_VERSION")));
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            let request = request.body(Full::new(Bytes::from(body))).map_err(|_| PostError::Malformed)?;
            let answer = sender.send_request(request).await?;
            let status = answer.status().as_u16();
            // Read to its end, so that the receiver is not hung up on in the middle of it; within reason.
            let rest = Limited::new(answer.into_body(), REST.0).collect();
            drop(tokio::time::timeout(REST.1, rest).await);
            Ok(status)
        };
        let answered = answered.await;
        talking.abort();
        answered
    }
}

/// Trusts the authorities that the system trusts. Read once: it takes some milliseconds.
fn trusting() -> Arc<ClientConfig> {
    static TRUSTING: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!("the system's trusted authorities cannot all be read: {error}");
        }
        roots.add_parsable_certificates(found.certs);
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    };
    Arc::clone(TRUSTING.get_or_init(read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Address, String> {
        Address::read(&Secret::new(text.to_owned()), false)
    }

    #[test]
    fn an_address_is_read_or_refused_without_a_word_of_it() {
        for good in [
            "https://hooks.example.com/services/T0/B0/secret",
            " https://hooks.example.com:8443/x?y=z\n",
            "http://127.0.0.1:9/x",
            "http://[::1]:9/x",
            "http://localhost/x",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "hooks",
            "ftp://hooks.example.com/secret",
            "http://hooks.example.com/secret",
            "http://127.0.0.1.example.com/secret",
            "https://user:secret@hooks.example.com/",
            "https://user@hooks.example.com/secret",
        ] {
            let why = read(wrong).err().expect(wrong);
            assert!(!why.contains("secret") && !why.contains("hooks"), "{why}");
        }
        assert!(Address::read(&Secret::new("http://hooks.example.com/".to_owned()), true).is_ok());
    }
}
