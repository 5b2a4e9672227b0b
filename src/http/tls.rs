//! TLS by certificate files. They are read again when they change, because certificates are renewed while a daemon runs.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use super::limits::HEAD_TIME;
use crate::config::Certificate;
use crate::failure::{Failure, Result};
use crate::file::{self, Rules};

/// Changed files are seen this soon.
const GLANCE: Duration = Duration::from_secs(10);
/// The most bytes of either file.
const LARGEST: u64 = 1024 * 1024;

/// Speaks TLS with whoever connects.
pub struct Tls {
    files: Certificate,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    /// When the files were changed last, as far as is known.
    marks: [Option<SystemTime>; 2],
    glanced: Instant,
}

impl Tls {
    /// Errors: a file cannot be used, or the two do not belong together.
    pub fn read(files: &Certificate) -> Result<Self> {
        let marks = marks(files);
        let acceptor = acceptor(files)?;
        let current = Current { acceptor, marks, glanced: Instant::now() };
        Ok(Self { files: files.clone(), current: Mutex::new(current) })
    }

    /// The files as they are by now. New ones that cannot be used leave the last good ones in force.
    fn current(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.glanced.elapsed() >= GLANCE {
            current.glanced = Instant::now();
            let marks = marks(&self.files);
            if marks != current.marks {
                match acceptor(&self.files) {
                    Ok(acceptor) => {
                        tracing::info!("the certificate {} was read anew", self.files.chain.display());
                        current.acceptor = acceptor;
                    }
                    Err(failure) => {
                        tracing::warn!("the certificate that was in force stays so: {}", failure.line());
                    }
                }
                current.marks = marks;
            }
        }
        current.acceptor.clone()
    }

    /// Errors: the other side speaks no TLS, none that is good enough, or not in time.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        tokio::time::timeout(HEAD_TIME, self.current().accept(stream)).await?
    }
}

fn marks(files: &Certificate) -> [Option<SystemTime>; 2] {
    [&files.chain, &files.key].map(|path| file::facts(path).and_then(|about| about.modified()).ok())
}

fn acceptor(files: &Certificate) -> Result<TlsAcceptor> {
    let Certificate { chain: chain_file, key: key_file } = files;
    let unusable = |setting: &str, path: &Path, why: String| {
        Failure::error(format!("{setting} names {}, which cannot be used: {why}", path.display()))
    };
    let of_chain = |why: String| unusable("http.certificate_file", chain_file, why);
    let of_key = |why: String| unusable("http.key_file", key_file, why);
    let text = file::read(chain_file, &Rules::settings(LARGEST))
        .map_err(|fault| of_chain(fault.told()).hint(fault.hint(chain_file)))?
        .ok_or_else(|| of_chain("it does not exist".to_owned()))?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| of_chain(error.to_string()))?;
    if chain.is_empty() {
        let hint = "it should hold the server's certificate, then those between it and its authority, as PEM";
        return Err(of_chain("there is no certificate in it".to_owned()).hint(hint));
    }
    let text = file::secret(key_file, &Rules::secret(LARGEST))
        .map_err(|fault| of_key(fault.told()).hint(fault.hint(key_file)))?
        .ok_or_else(|| of_key("it does not exist".to_owned()))?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| of_key(error.to_string()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| of_key(error.to_string()).hint("the key must be the certificate's own"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
