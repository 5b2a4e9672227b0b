//! The settings of HTTP: where the daemon listens, and how what is said there stays between two.

use super::{Fallback, Secrecy, Setting};
use crate::config::listen::{Listen, Network};

pub(super) static HTTP: [Setting; 6] = [
    Setting {
        key: "http.listen",
        variable: "RECONCILE_HTTP_LISTEN",
        fallback: Fallback::Value("127.0.0.1:7326"),
        secrecy: Secrecy::Open,
        about: "Where the daemon speaks HTTP, or `off`; port 0 is any that is free. Beyond loopback only with TLS, and once there is a token.",
        take: |draft, given| Listen::read(given).map(|listen| draft.config.http_listen = listen),
    },
    Setting {
        key: "http.certificate_file",
        variable: "RECONCILE_HTTP_CERTIFICATE_FILE",
        fallback: Fallback::Rule("none: HTTP without TLS"),
        secrecy: Secrecy::Open,
        about: "The certificate for TLS, and those between it and its authority, as PEM; read again when it changes.",
        take: |draft, given| given.path().map(|path| draft.certificate = Some(path)),
    },
    Setting {
        key: "http.key_file",
        variable: "RECONCILE_HTTP_KEY_FILE",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "Its private key, as PEM, readable by its owner alone (mode 0600).",
        take: |draft, given| given.path().map(|path| draft.certificate_key = Some(path)),
    },
    Setting {
        key: "http.insecure",
        variable: "RECONCILE_HTTP_INSECURE",
        fallback: Fallback::Value("false"),
        secrecy: Secrecy::Open,
        about: "Speak HTTP beyond loopback without TLS. It concerns `http.listen` alone.",
        take: |draft, given| given.flag().map(|insecure| draft.config.http_insecure = insecure),
    },
    Setting {
        key: "http.trusted_proxies",
        variable: "RECONCILE_HTTP_TRUSTED_PROXIES",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "The networks of the proxies that add TLS, such as `[\"10.0.0.0/8\"]`; in the variable, separated by commas. Their `X-Forwarded-For` says who asks.",
        take: |draft, given| {
            let networks = given.list()?.iter().map(|text| Network::read(text)).collect::<Result<_, _>>();
            draft.config.http_proxies = networks.map_err(|what| format!("must be a list of networks: {what}"))?;
            Ok(())
        },
    },
    Setting {
        key: "http.probe_listen",
        variable: "RECONCILE_HTTP_PROBE_LISTEN",
        fallback: Fallback::Value("off"),
        secrecy: Secrecy::Open,
        about: "Where `/healthz`, `/readyz` and `/metrics` alone are answered too, always without TLS; or `off`.",
        take: |draft, given| Listen::read(given).map(|listen| draft.config.http_probes = listen),
    },
];
