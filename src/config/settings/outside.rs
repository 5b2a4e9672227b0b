//! The settings of the world outside of the database: Redis, the broker of tasks, and pool servers.

use std::time::Duration;

use super::{DAY, Fallback, HOUR, MINUTE, MS_100, Secrecy, Setting, secret_url};
use crate::port::redis::FENCING;
use crate::port::task::Arguments;
use crate::webhook::Keys;

/// A word that a queue or a task may be called by.
fn plain(text: String) -> Result<String, String> {
    let odd = |letter: char| letter.is_whitespace() || letter.is_control();
    if text.len() > 200 || text.contains(odd) {
        return Err("must be at most 200 letters without blanks".to_owned());
    }
    Ok(text)
}

/// A prefix under which no key of ours is called as the fencing number of a shorter prefix is.
fn apart(prefix: String) -> Result<String, String> {
    if prefix.ends_with(FENCING) {
        return Err(format!(
            "must not end with {FENCING}, which stands before the fencing numbers of the prefix before it"
        ));
    }
    Ok(prefix)
}

pub(super) static OUTSIDE: [Setting; 20] = [
    Setting {
        key: "redis.url",
        variable: "RECONCILE_REDIS_URL",
        fallback: Fallback::Rule("none: secrets wait in data_dir"),
        secrecy: Secrecy::Url,
        about: "Where secrets wait for their reader: `redis://:PASSWORD@HOST:PORT/DATABASE`, or `rediss://` for TLS.",
        take: |draft, given| {
            let url = secret_url(draft, given, ("redis.url_file", "RECONCILE_REDIS_URL"))?;
            draft.config.redis_url = Some(url);
            Ok(())
        },
    },
    Setting {
        key: "redis.url_file",
        variable: "RECONCILE_REDIS_URL_FILE",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "A file with that URL, readable by its owner alone (mode 0600).",
        take: |draft, given| given.path().map(|path| draft.redis_file = Some(path)),
    },
    Setting {
        key: "redis.prefix",
        variable: "RECONCILE_REDIS_PREFIX",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "What every key of ours in Redis begins with, such as `noor:`.",
        take: |draft, given| {
            draft.config.redis_prefix = apart(plain(given.string()?)?)?;
            Ok(())
        },
    },
    Setting {
        key: "redis.timeout",
        variable: "RECONCILE_REDIS_TIMEOUT",
        fallback: Fallback::Value("5s"),
        secrecy: Secrecy::Open,
        about: "How long connecting to Redis may take, and its answer.",
        take: |draft, given| given.duration(MS_100..=5 * MINUTE).map(|limit| draft.config.redis_timeout = limit),
    },
    Setting {
        key: "celery.broker_url",
        variable: "RECONCILE_CELERY_BROKER_URL",
        fallback: Fallback::Rule("redis.url"),
        secrecy: Secrecy::Url,
        about: "The Redis that carries tasks to Celery workers.",
        take: |draft, given| {
            let url = secret_url(draft, given, ("celery.broker_url_file", "RECONCILE_CELERY_BROKER_URL"))?;
            draft.config.broker_url = Some(url);
            Ok(())
        },
    },
    Setting {
        key: "celery.broker_url_file",
        variable: "RECONCILE_CELERY_BROKER_URL_FILE",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "A file with that URL, readable by its owner alone (mode 0600).",
        take: |draft, given| given.path().map(|path| draft.broker_file = Some(path)),
    },
    Setting {
        key: "celery.result_url",
        variable: "RECONCILE_CELERY_RESULT_URL",
        fallback: Fallback::Rule("none: instances stay `provisioning`"),
        secrecy: Secrecy::Url,
        about: "The Redis where workers leave their results.",
        take: |draft, given| {
            let url = secret_url(draft, given, ("celery.result_url_file", "RECONCILE_CELERY_RESULT_URL"))?;
            draft.config.result_url = Some(url);
            Ok(())
        },
    },
    Setting {
        key: "celery.result_url_file",
        variable: "RECONCILE_CELERY_RESULT_URL_FILE",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "A file with that URL, readable by its owner alone (mode 0600).",
        take: |draft, given| given.path().map(|path| draft.result_file = Some(path)),
    },
    Setting {
        key: "celery.task",
        variable: "RECONCILE_CELERY_TASK",
        fallback: Fallback::Value("instance.provision_instance"),
        secrecy: Secrecy::Open,
        about: "The name of the task that provisions an instance.",
        take: |draft, given| {
            draft.config.celery.task = plain(given.string()?)?;
            Ok(())
        },
    },
    Setting {
        key: "celery.queue",
        variable: "RECONCILE_CELERY_QUEUE",
        fallback: Fallback::Value("instance_provisioning"),
        secrecy: Secrecy::Open,
        about: "The queue that it is put into.",
        take: |draft, given| {
            draft.config.celery.queue = plain(given.string()?)?;
            Ok(())
        },
    },
    Setting {
        key: "celery.global_keyprefix",
        variable: "RECONCILE_CELERY_GLOBAL_KEYPREFIX",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "What every key of Celery's begins with, queues and results: the workers' `global_keyprefix`.",
        take: |draft, given| {
            draft.config.celery.prefix = plain(given.string()?)?;
            Ok(())
        },
    },
    Setting {
        key: "celery.arguments",
        variable: "RECONCILE_CELERY_ARGUMENTS",
        fallback: Fallback::Value("keyword"),
        secrecy: Secrecy::Open,
        about: "How the credentials are passed behind the instance's id: `positional`, or `keyword` as `db_credentials`.",
        take: |draft, given| {
            draft.config.celery.arguments =
                given.word(&[("positional", Arguments::Positional), ("keyword", Arguments::Keyword)])?;
            Ok(())
        },
    },
    Setting {
        key: "celery.credentials",
        variable: "RECONCILE_CELERY_CREDENTIALS",
        fallback: Fallback::Value("inline"),
        secrecy: Secrecy::Open,
        about: "`inline` puts the credentials into the task; `reference` the key under which they wait (`db_credentials_key`).",
        take: |draft, given| {
            draft.by_reference = given.word(&[("inline", false), ("reference", true)])?;
            Ok(())
        },
    },
    Setting {
        key: "celery.reference_life",
        variable: "RECONCILE_CELERY_REFERENCE_LIFE",
        fallback: Fallback::Value("6h"),
        secrecy: Secrecy::Open,
        about: "How long credentials that are named by `reference` wait: longer than the queue and the broker's visibility timeout.",
        take: |draft, given| given.duration(MINUTE..=30 * DAY).map(|life| draft.reference_life = life),
    },
    Setting {
        key: "instance.credentials_life",
        variable: "RECONCILE_INSTANCE_CREDENTIALS_LIFE",
        fallback: Fallback::Value("1h"),
        secrecy: Secrecy::Open,
        about: "How long an instance's new credentials wait for their reader.",
        take: |draft, given| {
            given.duration(Duration::from_secs(1)..=30 * 24 * HOUR).map(|life| draft.config.credentials_life = life)
        },
    },
    Setting {
        key: "pool.catalog",
        variable: "RECONCILE_POOL_CATALOG",
        fallback: Fallback::Value("postgres"),
        secrecy: Secrecy::Open,
        about: "The maintenance catalog of pool servers: the only one that an admin URL may name.",
        take: |draft, given| {
            draft.config.pool_catalog = plain(given.string()?)?;
            Ok(())
        },
    },
    Setting {
        key: "billing.keys",
        variable: "RECONCILE_BILLING_KEYS",
        fallback: Fallback::Rule("none: billing shows a token"),
        secrecy: Secrecy::Hidden { instead: "billing.keys_file" },
        about: "The keys that billing signs its events with, each `whsec_` and the Base64 of 24 to 64 bytes, separated by commas or newlines.",
        take: |draft, given| {
            draft.config.billing_keys = Some(Keys::read(&given.secret()?)?);
            Ok(())
        },
    },
    Setting {
        key: "billing.keys_file",
        variable: "RECONCILE_BILLING_KEYS_FILE",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "A file with the same, readable by its owner alone (mode 0600).",
        take: |draft, given| given.path().map(|path| draft.billing_file = Some(path)),
    },
    Setting {
        key: "client.token",
        variable: "RECONCILE_CLIENT_TOKEN",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Hidden { instead: "client.token_file" },
        about: "The token to show to a daemon that is asked over HTTP, with `reconcile status --daemon URL`.",
        take: |draft, given| given.secret().map(|token| draft.config.client_token = Some(token)),
    },
    Setting {
        key: "client.token_file",
        variable: "RECONCILE_CLIENT_TOKEN_FILE",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "A file with the same, readable by its owner alone (mode 0600).",
        take: |draft, given| given.path().map(|path| draft.token_file = Some(path)),
    },
];
