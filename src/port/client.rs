//! Asking somebody over HTTP: one connection, one request, every wait with a limit, and no redirects.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::loopback::names_loopback;
use crate::secret::Secret;

/// How long it may take until the answer is there.
const LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are looked at, and for how long: whoever sends more, or more slowly, has taken the
/// message all the same.
const REST: (usize, Duration) = (64 * 1024, Duration::from_secs(1));

/// The most bytes of an answer that is wanted.
const LARGEST: usize = 16 * 1024 * 1024;

/// Where somebody answers. The whole URL is a secret: for many receivers, to know it is to be allowed to post.
#[derive(Clone)]
pub struct Address {
    url: Secret,
    host: String,
    port: u16,
    is_tls: bool,
}

/// What was answered.
pub struct Page {
    pub status: u16,
    /// What is not UTF-8 is replaced.
    pub body: String,
}

/// Why there is no answer, or none that helps. Never shows the URL.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
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
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    #[error("the request cannot be written")]
    Malformed,
}

/// The host as somebody wrote it: the reader of URLs brings an address to its usual form.
fn written_host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#', ':']).next().unwrap_or_default()
}

impl Address {
    /// Reads a URL. Beyond this machine it wants TLS, unless `unverified` networks are trusted.
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
        let is_here = names_loopback(url.host_str().ok_or_else(|| "holds a URL without a host".to_owned())?);
        if !is_tls && !is_here && !unverified {
            return Err(
                "must hold an https:// URL beyond this machine, unless allow_insecure says otherwise".to_owned()
            );
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if let Some(Host::Ipv4(address)) = url.host()
            && written_host(text.expose()) != address.to_string()
        {
            return Err("holds a URL whose host is an address in a form that programs read in different ways: write \
                        four decimal numbers without leading zeros"
                .to_owned());
        }
        let port = url.port_or_known_default().unwrap_or(443);
        Ok(Self { url: Secret::new(url.into()), host, port, is_tls })
    }

    /// `host:port`, for messages.
    pub fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Posts one message as JSON.
    ///
    /// Guarantees: `Ok` means that the receiver has taken it. Errors: it may have taken it all the same.
    pub async fn post(&self, headers: &[(&'static str, String)], body: String) -> Result<(), ClientError> {
        let exchange = async {
            let mut request = self.request(Method::POST, None, headers)?;
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let mut talking = JoinSet::new();
            let answer = self.ask(request.map(|()| Full::new(Bytes::from(body))), &mut talking).await?;
            let status = answer.status().as_u16();
            // Read to its end, so that the receiver is not hung up on in the middle of it; within reason.
            let rest = Limited::new(answer.into_body(), REST.0).collect();
            drop(tokio::time::timeout(REST.1, rest).await);
            if (200..300).contains(&status) { Ok(()) } else { Err(ClientError::Refused(status)) }
        };
        tokio::time::timeout(LIMIT, exchange).await.unwrap_or(Err(ClientError::Silent))
    }

    /// Gets what stands at `path`, with its query, below the URL as the type `accept`, whatever its status; at most 16 MiB.
    pub async fn get(&self, path: &str, accept: &str, bearer: Option<&Secret>) -> Result<Page, ClientError> {
        let exchange = async {
            let mut request = self.request(Method::GET, Some(path), &[("accept", accept.to_owned())])?;
            if let Some(bearer) = bearer {
                let shown = Zeroizing::new(format!("Bearer {}", bearer.expose()));
                let mut shown = HeaderValue::from_str(&shown).map_err(|_| ClientError::Malformed)?;
                shown.set_sensitive(true);
                request.headers_mut().insert(header::AUTHORIZATION, shown);
            }
            let mut talking = JoinSet::new();
            let answer = self.ask(request.map(|()| Full::default()), &mut talking).await?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| ClientError::Unreadable(error.to_string()))?.to_bytes();
            Ok(Page { status, body: String::from_utf8_lossy(&body).into_owned() })
        };
        tokio::time::timeout(LIMIT, exchange).await.unwrap_or(Err(ClientError::Silent))
    }

    /// A request for the URL itself, or for what stands `below` it.
    fn request(
        &self,
        method: Method,
        below: Option<&str>,
        headers: &[(&'static str, String)],
    ) -> Result<Request<()>, ClientError> {
        let mut url = Url::parse(self.url.expose()).map_err(|_| ClientError::Malformed)?;
        if let Some(below) = below {
            let (below, query) = below.split_once('?').map_or((below, None), |(below, query)| (below, Some(query)));
            let path = format!("{}/{below}", url.path().trim_end_matches('/'));
            url.set_path(&path);
            url.set_query(query);
        }
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("reconcile/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(()).map_err(|_| ClientError::Malformed)
    }

    /// The head of the answer. Its body comes for as long as `talking` is there.
    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        talking: &mut JoinSet<()>,
    ) -> Result<Response<Incoming>, ClientError> {
        let unreachable = |error| ClientError::Unreachable(self.host.clone(), error);
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        if !self.is_tls {
            return exchange(stream, request, talking).await;
        }
        let broken = |error| ClientError::Tls(self.host.clone(), error);
        let name = ServerName::try_from(self.host.clone()).map_err(|error| broken(io::Error::other(error)))?;
        let stream = TlsConnector::from(trusting()).connect(name, stream).await.map_err(broken)?;
        exchange(stream, request, talking).await
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    talking: &mut JoinSet<()>,
) -> Result<Response<Incoming>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What breaks it is told to whoever waits for the answer.
    talking.spawn(async { drop(connection.await) });
    Ok(sender.send_request(request).await?)
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
            "https://10.0.0.11/x",
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
            "http://0177.0.0.1/secret",
            "http://2130706433/secret",
            "https://010.0.0.1:8443/secret",
            "https://%31%30.0.0.1/secret",
        ] {
            let why = read(wrong).err().expect(wrong);
            assert!(!why.contains("secret") && !why.contains("hooks"), "{why}");
        }
        assert!(Address::read(&Secret::new("http://hooks.example.com/".to_owned()), true).is_ok());
    }
}
