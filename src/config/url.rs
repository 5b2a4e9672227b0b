//! Secrets in a database URL: found, and hidden.

use percent_encoding::percent_decode_str;

use super::HIDDEN;

/// Parameters of a connection URL that hold a secret.
const SECRET_PARAMETERS: [&str; 2] = ["password", "sslpassword"];

fn is_secret(parameter: &str) -> bool {
    SECRET_PARAMETERS.iter().any(|known| parameter.eq_ignore_ascii_case(known))
}

/// `text` as a URL with its parts in their places; `None` for what only looks like one, such as `noor:hush@db`, or
/// where a backslash may stand for what parts a user from a password.
fn read(text: &str) -> Option<url::Url> {
    let url = url::Url::parse(text).ok().filter(|_| !text.contains('\\'))?;
    (!url.cannot_be_a_base() || url.scheme() == "sqlite").then_some(url)
}

/// Whether behind the server's name something stands that looks like a login, or the end of one: a URL that was pasted
/// twice, or broken, or a password with an `@` of its own and what ends a server's name. A file's path may hold one `@`.
fn has_login_behind(url: &url::Url) -> bool {
    let behind = &url[url::Position::BeforePath..];
    match url.scheme() {
        "sqlite" => behind.split_once(':').is_some_and(|(_, rest)| rest.contains('@')),
        _ => behind.contains('@'),
    }
}

/// Whether `text` gives a password, if only by its name, where no parameter stands: behind a `?` that is lost or doubled.
fn gives_password(text: &str) -> bool {
    let text = percent_decode_str(text).decode_utf8_lossy().to_ascii_lowercase();
    text.split("password=").skip(1).any(|given| given.split('&').next() != Some(HIDDEN))
}

/// Whether its login is one word, which a reader of Redis URLs takes for a password as easily as for a user, and so does
/// whoever writes one.
fn has_one_word(url: &url::Url) -> bool {
    matches!(url.scheme(), "redis" | "rediss") && !url.username().is_empty() && url.password().is_none()
}

/// Whether `text` holds a password. What cannot be read as a URL is taken to, where it has room for one.
pub(super) fn has_password(text: &str) -> bool {
    match read(text) {
        Some(url) => {
            url.password().is_some()
                || has_one_word(&url)
                || url.query_pairs().any(|(name, _)| is_secret(&name))
                || has_login_behind(&url)
                || gives_password(text)
        }
        None => text.contains('@') || text.to_ascii_lowercase().contains("password"),
    }
}

/// `text` with every secret in it hidden.
pub(super) fn masked(text: &str) -> String {
    if !has_password(text) {
        return text.to_owned();
    }
    let Some(mut url) = read(text).filter(|url| !has_login_behind(url)) else { return HIDDEN.to_owned() };
    if has_one_word(&url) && url.set_username(HIDDEN).is_err() {
        return HIDDEN.to_owned();
    }
    if url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
        return HIDDEN.to_owned();
    }
    if url.query().is_some() {
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let shown = pairs.iter().map(|(name, value)| (name, if is_secret(name) { HIDDEN } else { value.as_str() }));
        url.query_pairs_mut().clear().extend_pairs(shown);
    }
    // The only thing that a URL would write otherwise, and that is no secret.
    let shown = url.to_string().replace("%2A", "*");
    if gives_password(&shown) { HIDDEN.to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_wherever_it_may_stand() {
        for url in [
            "postgres://noor:hush@db/KQUR_DEV",
            "postgres://db/KQUR_DEV?user=noor&password=hush",
            "postgres://db/KQUR_DEV?PassWord=hush",
            "postgres://db/KQUR_DEV?p%61ssword=hush",
            "noor:hush@db",
            "host=db password=hush",
            "postgres:/#/noor:hush@db/KQUR_DEV",
            "postgres://noor\\hush@db/KQUR_DEV",
            "postgres://noor@db/KQUR_DEVpostgres://noor:hush@db/KQUR_DEV",
            "postgres://noor:x@db/KQUR_DEV?a=noor:hush@db",
            "redis://noor:x@y/hush@localhost/0",
            "redis://hush@localhost/0",
            "REDISS://hush@redis.example",
            "redis://hush:@localhost/0",
            "redis://noor:x@y#hush@localhost/0",
            "redis://noor:x@y?hush@localhost/0",
            "postgres:/noor%hush@db/KQUR_DEV",
            "postgres://noor?db/KQUR_DEV?password=hush",
            "postgres://db/KQUR_DEVp%41ssword=hush",
            "postgres://noor:x@db/KQUR_DEV?a=1?sslpassword=hush&password=hush",
        ] {
            assert!(has_password(url), "{url}");
            assert!(!masked(url).contains("hush"), "{url}");
        }
        for url in ["postgres://noor@db:5432/KQUR_DEV?sslmode=verify-full", "sqlite:/a@b.db", "a.db"] {
            assert!(!has_password(url), "{url}");
            assert_eq!(masked(url), url);
        }
    }

    #[test]
    fn the_rest_of_the_url_stays_readable() {
        assert_eq!(masked("redis://hush@redis:6379/1"), "redis://********@redis:6379/1");
        assert_eq!(masked("postgres://noor:hush@db:5433/KQUR_DEV"), "postgres://noor:********@db:5433/KQUR_DEV");
        assert_eq!(
            masked("postgres://db/KQUR_DEV?user=noor&password=hush"),
            "postgres://db/KQUR_DEV?user=noor&password=********"
        );
    }
}
