//! Entries that mean harm: only what was sealed opens, byte for byte, and what is said of another can be shown.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use super::{CLEAR, Embedded, KEY, owner, ring};
use crate::testing::{Answer, Hunt, is_printable};

/// Sealed for [`KEY`] under `ring(&['a'])`, until 2041, by a version whose names held no identity.
const SEALED: &[u8] =
    b"RCHANDO1\x00\x08\x00\x00\x00\x00\x00\x0043452d308c75\x18/\xb38\x8eqyn\xbf\xf8\xc0ME\xd8\xf9\xd8bY%\
    \xfaq\x14\xeb\xd0\x01Q=\xe0JX\x95\'\xb4\xb5\xf7K\xa3I%1^x_W\xb2\x83\xda\\a\xd8\x91A\n\xe3&\x8e\xb1#\
    \xc3\x14\x07%\x18\xb6\xd3\xaf\x9e\x0cp\xe0\x1d\xc1\xc4\xf3\xadp";

pub(crate) fn hunt() -> Hunt {
    let home = tempfile::tempdir().unwrap();
    let entries = Embedded::new(home.path(), &owner(), ring(&['a']));
    fs::create_dir(home.path().join("handoff")).unwrap();
    let judge = Box::new(move |bytes: &[u8]| {
        // It goes with the hunt.
        let _home = &home;
        judge(&entries, bytes)
    });
    let foreign = [&SEALED[..16], b"\x1b[2J        ", &SEALED[28..]].concat();
    let corpus = vec![SEALED.to_vec(), foreign, SEALED[..60].to_vec(), b"RCHANDO1".to_vec(), Vec::new()];
    let fragments = &["RCHANDO1", "RCHANDO2", "\0\0\0\0", "\x7f", "\u{1b}[2J", "0123456789ab", "\n", "é"];
    Hunt { name: "sealed entries", corpus, fragments, draw: |_| None, usual: 2_000, judge }
}

fn judge(entries: &Embedded, bytes: &[u8]) -> Result<Answer, String> {
    let path = entries.shelf().path(KEY);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes).unwrap();
    match entries.read(KEY) {
        Ok(Some(secret)) if bytes == SEALED && secret.expose() == CLEAR => Ok(Answer::Taken),
        Ok(Some(_)) => Err("it opens, and was not sealed so".to_owned()),
        Ok(None) if bytes == SEALED => Err("what was sealed does not open".to_owned()),
        Ok(None) => Ok(Answer::Refused),
        Err(error) => {
            let hint = error.hint().ok_or("an error without a way out")?;
            is_printable(&format!("{error}\n{hint}"))?;
            Ok(Answer::Refused)
        }
    }
}
