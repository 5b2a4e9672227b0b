//! `status --daemon URL`: what a daemon says to whoever has a token, and neither its database nor its files.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use super::listen;
use super::tls;
use super::tokens::make;
use crate::daemon::{LATE, end, settle, start};
use crate::fixture::http::address;
use crate::fixture::process::Output;
use crate::fixture::{Database, Sandbox, World, both};

/// Somebody elsewhere, who has this token.
fn elsewhere(token: &str) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.env("RECONCILE_CLIENT_TOKEN", token);
    sandbox
}

fn ask(sandbox: &Sandbox, url: &str, more: &[&str]) -> Output {
    sandbox.run(&[&["status", "--daemon", url], more].concat())
}

/// One line, without the blanks that lay it out.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Somebody who answers whatever is asked with this, once for each connection.
fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let there = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    there
}

both! {
    fn a_daemon_tells_what_its_database_would(world) {
        listen(world);
        let daemon = start(world);
        let url = format!("http://{}", address(&daemon));
        let guest = elsewhere(&make(world, "guest", "read"));
        settle(LATE, &0, || ask(&guest, &url, &[]).code);
        // Another turn may end, or a second pass, between the two questions.
        let same = |format: &str| {
            let more = ["--format", format];
            let here = || world.run(&["status", "--format", format]).expect_code(0).stdout;
            settle(LATE, &true, || ask(&guest, &url, &more).expect_code(0).stdout == here());
        };
        same("text");
        same("json");
        // A path before it is a proxy's, and a slash behind it is nothing.
        ask(&guest, &format!("{url}/"), &[]).expect_code(0);
        ask(&guest, &format!("{url}/behind/"), &[]).expect_code(1);
        ask(&guest, &url, &["--format", "markdown"]).expect_code(1);
        // It leaves nothing in the directory but the directory.
        assert_eq!(guest.snapshot_files().len(), 1);

        let file = Sandbox::new();
        file.write("reconcile.toml", "[client]\ntoken_file = \"token\"\n");
        file.write("token", &make(world, "other", "operate"));
        file.sh("chmod 644 token").expect_code(0);
        assert!(flat(&ask(&file, &url, &[]).expect_code(1).stderr).contains("chmod 600"));
        file.sh("chmod 600 token").expect_code(0);
        settle(LATE, &0, || ask(&file, &url, &[]).code);

        let none = flat(&ask(&Sandbox::new(), &url, &[]).expect_code(1).stderr);
        assert!(none.contains("answers 401") && none.contains("reconcile token create --scope read"), "{none}");
        let wrong = flat(&ask(&elsewhere("rct_wrong"), &url, &[]).expect_code(1).stderr);
        assert!(wrong.contains("answers 401") && !wrong.contains("rct_wrong"), "{wrong}");
        end(daemon);
        let gone = flat(&ask(&guest, &url, &[]).expect_code(1).stderr);
        assert!(gone.contains("cannot be asked") && gone.contains("http.listen"), "{gone}");
    }
}

#[test]
fn a_daemon_whose_database_is_away_says_so() {
    let mut world = World::on(Database::Postgres);
    listen(&mut world);
    let daemon = start(&world);
    let url = format!("http://{}", address(&daemon));
    let guest = elsewhere(&make(&world, "guest", "read"));
    settle(LATE, &0, || ask(&guest, &url, &[]).code);
    world.server().unwrap().stop();
    let away = |said: &str| said.contains("answers 503: cannot connect to") && said.contains("nobody listens there");
    settle(LATE, &true, || away(&flat(&ask(&guest, &url, &[]).stderr)));
    world.server().unwrap().start_again();
    settle(LATE, &0, || ask(&guest, &url, &[]).code);
    end(daemon);
}

#[test]
fn a_daemon_is_asked_over_tls_where_its_authority_is_trusted() {
    let world = tls::open();
    tls::make(&world, 12);
    let daemon = start(&world);
    let url = format!("https://localhost:{}", tls::address(&daemon).port());
    let mut guest = elsewhere(&make(&world, "guest", "read"));
    let stranger = flat(&ask(&guest, &url, &[]).expect_code(1).stderr);
    assert!(stranger.contains("no trusted TLS with localhost") && stranger.contains("SSL_CERT_FILE"), "{stranger}");
    let trusted = world.path().join("door.crt");
    guest.env("SSL_CERT_FILE", trusted.to_str().unwrap());
    settle(LATE, &0, || ask(&guest, &url, &[]).code);
    end(daemon);
}

#[test]
fn what_is_no_daemon_is_told_apart() {
    let guest = elsewhere("rct_canary");
    let said = |url: &str| {
        let said = ask(&guest, url, &[]).expect_code(1);
        assert!(said.stdout.is_empty() && !said.stderr.contains("canary"), "{}", said.text());
        flat(&said.stderr)
    };
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<h1>Hello</h1>",
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 500 So\r\ncontent-length: 2\r\n\r\n{}",
    ] {
        let said = said(&format!("http://{}", answering(answer)));
        assert!(said.contains("is no daemon of ours"), "{said}");
    }
    let spoken = said(&format!("http://{}", answering("220 mail.example.org ESMTP\r\n")));
    assert!(spoken.contains("the connection broke"), "{spoken}");
    // What it says reaches no terminal as it is.
    let colourful = answering("HTTP/1.1 200 OK\r\ncontent-length: 23\r\n\r\nenvironment \u{1b}[2J\nowned\n");
    let shown = ask(&guest, &format!("http://{colourful}"), &[]).expect_code(0).stdout;
    assert!(!shown.contains('\u{1b}') && shown.contains("owned"), "{shown:?}");
    for (url, words) in [
        ("localhost:7326", "--daemon must hold a URL that begins with https://"),
        ("127.0.0.1", "--daemon holds no URL"),
        ("http://reconcile.example.org", "--daemon must hold an https:// URL beyond this machine"),
        ("https://noor:canary@127.0.0.1:1", "--daemon holds a URL with a user"),
    ] {
        assert!(said(url).contains(words), "{}", said(url));
    }
}

#[test]
fn a_daemon_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let guest = elsewhere("rct_wrong");
    let said = flat(&ask(&guest, &url, &["--timeout", "1s"]).expect_code(1).stderr);
    assert!(said.contains("it took longer than --timeout 1s"), "{said}");
}
