//! The settings while they are gathered, and what is decided about several of them together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::File;
use super::given::{Given, Origin};
use super::report::InFile;
use super::{Certificate, Config, DEVELOPMENT, LARGEST_URL_FILE, LogFormat, Problem, Secrets, Source, TABLE, url};
use crate::file::{self, Fault, Rules};
use crate::port::keys::KeySource;
use crate::port::task::{Arguments, Credentials, Style};
use crate::secret::Secret;
use crate::webhook::Keys;

/// The settings while they are gathered: those that decide about each other wait here side by side.
pub(super) struct Draft {
    pub config: Config,
    pub source: Option<Source>,
    pub url_file: Option<PathBuf>,
    pub keys: Option<(Secret, String)>,
    pub keys_file: Option<PathBuf>,
    pub redis_file: Option<PathBuf>,
    pub broker_file: Option<PathBuf>,
    pub result_file: Option<PathBuf>,
    pub billing_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub certificate_key: Option<PathBuf>,
    pub by_reference: bool,
    pub reference_life: Duration,
}

fn unstyled() -> Style {
    let (arguments, credentials) = (Arguments::Positional, Credentials::Inline);
    Style { task: String::new(), queue: String::new(), prefix: String::new(), arguments, credentials }
}

impl Draft {
    /// Nothing gathered yet but the file: the table's defaults fill in every other field.
    pub fn new(file: File) -> Self {
        let config = Config {
            environment: String::new(),
            environment_spelled_out: false,
            state: PathBuf::new(),
            data_dir: PathBuf::new(),
            database_url: None,
            schema: String::new(),
            source: Source::Head,
            lineage: String::new(),
            lineage_strict: false,
            interval: Duration::ZERO,
            debounce: Duration::ZERO,
            debounce_max: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            statement_timeout: Duration::ZERO,
            lease: Duration::ZERO,
            budget_percent: 0,
            budget_from: 0,
            schedule_limit: 0,
            claim_life: Duration::ZERO,
            host_keys: KeySource::Missing { environment: String::new() },
            file_limit: 0,
            journal_retention: None,
            allow_insecure: false,
            environments: file.environments.iter().map(|one| (one.name.clone(), one.catalogs.clone())).collect(),
            redis_url: None,
            redis_prefix: String::new(),
            redis_timeout: Duration::ZERO,
            broker_url: None,
            result_url: None,
            celery: unstyled(),
            credentials_life: Duration::ZERO,
            pool_catalog: String::new(),
            pools: file.pools,
            billing_keys: None,
            client_token: None,
            receivers: Vec::new(),
            http_listen: None,
            http_insecure: false,
            http_proxies: Vec::new(),
            http_probes: None,
            http_certificate: None,
            log_format: LogFormat::Text,
            log_level: tracing::Level::INFO,
            file: file.path,
            file_named: file.named,
            warnings: Vec::new(),
            shown: Vec::new(),
        };
        Self {
            config,
            source: None,
            url_file: None,
            keys: None,
            keys_file: None,
            redis_file: None,
            broker_file: None,
            result_file: None,
            billing_file: None,
            token_file: None,
            certificate: None,
            certificate_key: None,
            by_reference: false,
            reference_life: Duration::ZERO,
        }
    }

    /// Decides what depends on more than one setting.
    pub fn finish(self, given: &[Given], cwd: &Path, secrets: Secrets, problems: &mut Vec<Problem>) -> Config {
        let Draft { mut config, source, url_file, keys, keys_file, .. } = self;
        let Draft { redis_file, broker_file, result_file, billing_file, token_file, .. } = self;
        let Draft { by_reference, reference_life, certificate, certificate_key, .. } = self;
        let origin = |key: &str| {
            let found = TABLE.iter().zip(given).find(|(setting, _)| setting.key == key);
            found.map_or(&Origin::Default, |(_, given)| &given.origin)
        };
        let development = config.environment.eq_ignore_ascii_case(DEVELOPMENT);
        let usual = if development { Source::Worktree } else { Source::Head };
        config.source = source.unwrap_or(usual);
        if config.debounce > config.debounce_max {
            let strongest = std::cmp::max_by_key(origin("debounce"), origin("debounce_max"), |origin| origin.rank());
            problems.push(Problem::new(strongest, "debounce must not be longer than debounce_max"));
        }
        let files = [
            ("database.url", &url_file),
            ("host.keys", &keys_file),
            ("redis.url", &redis_file),
            ("celery.broker_url", &broker_file),
            ("celery.result_url", &result_file),
            ("billing.keys", &billing_file),
            ("client.token", &token_file),
        ];
        let files = files.map(|(key, path)| InFile { key, path: path.clone() }).into();
        let mut from_file = |key: &str, path: Option<PathBuf>, holds: &str| {
            let path = path.filter(|_| secrets == Secrets::Read)?;
            let read = read_secret(&cwd.join(&path), holds);
            let unusable = |what: String| {
                // Masked, for it may be the URL itself that was put here by mistake.
                let path = url::masked(&path.display().to_string());
                problems.push(Problem::new(origin(key), format!("{key} names {path}, which {what}")));
            };
            read.map_err(unusable).ok()
        };
        let either = |read: Option<Secret>, given: &mut Option<Secret>| *given = read.or(given.take());
        either(from_file("database.url_file", url_file, "the database URL"), &mut config.database_url);
        either(from_file("redis.url_file", redis_file, "the URL of Redis"), &mut config.redis_url);
        either(from_file("celery.broker_url_file", broker_file, "the broker's URL"), &mut config.broker_url);
        either(from_file("celery.result_url_file", result_file, "the URL of Redis"), &mut config.result_url);
        either(from_file("client.token_file", token_file, "a token"), &mut config.client_token);
        if let Some(text) = from_file("billing.keys_file", billing_file, "keys") {
            let unfit =
                |what| problems.push(Problem::new(origin("billing.keys_file"), format!("billing.keys_file: {what}")));
            config.billing_keys = Keys::read(&text).map_err(unfit).ok();
        }
        let chain = certificate.map(|path| (path, origin("http.certificate_file")));
        let key = certificate_key.map(|path| (path, origin("http.key_file")));
        config.http_certificate = pair(chain, key, cwd).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        config.broker_url = config.broker_url.or_else(|| config.redis_url.clone());
        if by_reference {
            config.celery.credentials = Credentials::Reference { life: reference_life };
        }
        config.host_keys = match (keys, keys_file) {
            (Some((keys, origin)), _) => KeySource::Given { keys, origin },
            (None, Some(path)) => KeySource::File(path),
            (None, None) if development => KeySource::Made(config.data_dir.join("host.key")),
            (None, None) => KeySource::Missing { environment: config.environment.clone() },
        };
        config.show_what_is_in_force(files);
        config
    }
}

/// The two files of a certificate, of which each was named somewhere; or none.
///
/// Errors: one stands alone.
fn pair(
    chain: Option<(PathBuf, &Origin)>,
    key: Option<(PathBuf, &Origin)>,
    cwd: &Path,
) -> Result<Option<Certificate>, Problem> {
    match (chain, key) {
        (Some((chain, _)), Some((key, _))) => Ok(Some(Certificate { chain: cwd.join(chain), key: cwd.join(key) })),
        (None, None) => Ok(None),
        (Some((_, origin)), None) => Err(Problem::new(origin, "http.certificate_file wants http.key_file beside it")),
        (None, Some((_, origin))) => Err(Problem::new(origin, "http.key_file wants http.certificate_file beside it")),
    }
}

/// The secret in a file that only its owner may read. `holds` is what should stand there, for messages.
pub(super) fn read_secret(path: &Path, holds: &str) -> Result<Secret, String> {
    let unusable = |fault: Fault| {
        let path = url::masked(&path.display().to_string());
        format!("cannot be used: {}; {}", fault.told(), fault.hint(Path::new(&path)))
    };
    let text = file::secret(path, &Rules::secret(LARGEST_URL_FILE)).map_err(unusable)?;
    let text = text.ok_or_else(|| format!("does not exist; it should hold {holds}"))?;
    match text.trim() {
        "" => Err(format!("is empty; it should hold {holds}")),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}
