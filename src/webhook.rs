//! Signed webhooks, as Standard Webhooks has them (<https://www.standardwebhooks.com>, version 1.0.0): HMAC-SHA256 over
//! the message's id, the second at which it was sent, and its body, so that neither can be another's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// How far the sender's clock may be from ours, or its message under way, in seconds: either way.
pub const TOLERANCE: i64 = 5 * 60;

/// What a key begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a key, at least and at most.
const SIZE: std::ops::RangeInclusive<usize> = 24..=64;

/// The keys that both sides have: any of them will do, so that they can be changed one side after the other.
#[derive(Clone)]
pub struct Keys(Vec<Hmac<Sha256>>);

/// What goes with a body.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// `webhook-id`: the same for the same message, however often it is sent.
    pub id: &'a str,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp: &'a str,
    /// `webhook-signature`: one or more of `v1,BASE64`, parted by blanks.
    pub signature: &'a str,
}

/// Why a message is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("webhook-timestamp is no number of seconds since 1970")]
    NoTime,
    #[error("webhook-timestamp is more than {} minutes from now: send it anew, with a new signature", TOLERANCE / 60)]
    Stale,
    #[error("webhook-signature has no signature of version 1 that fits the message")]
    Wrong,
}

impl Keys {
    /// Reads one or more keys, parted by commas, blanks or newlines: `whsec_`, then the Base64 of 24 to 64 bytes.
    ///
    /// Errors: what is wrong, without a word of what stands there.
    pub fn read(text: &Secret) -> Result<Self, String> {
        let words = text.expose().split(|letter: char| letter == ',' || letter.is_whitespace());
        let keys: Vec<_> = words.filter(|word| !word.is_empty()).map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err("holds no key".to_owned());
        }
        Ok(Self(keys))
    }

    /// The signature of a message by the first key, as [`Envelope::signature`] has it.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // There is one, or there were no keys.
        let Some(key) = self.0.first() else { return String::new() };
        let signature = mac(key, id, &timestamp.to_string(), body).finalize().into_bytes();
        format!("v1,{}", BASE64.encode(signature))
    }

    /// Whether the message was made by somebody who has a key, within [`TOLERANCE`] of `now`, in seconds since 1970.
    pub fn check(&self, envelope: Envelope<'_>, body: &[u8], now: i64) -> Result<(), Refusal> {
        let Envelope { id, timestamp, signature } = envelope;
        let sent: i64 = timestamp.parse().map_err(|_| Refusal::NoTime)?;
        if now.checked_sub(sent).is_none_or(|apart| !(-TOLERANCE..=TOLERANCE).contains(&apart)) {
            return Err(Refusal::Stale);
        }
        let given = signature.split(' ').filter_map(|one| BASE64.decode(one.strip_prefix("v1,")?).ok());
        // In constant time.
        let is_good =
            |given: Vec<u8>| self.0.iter().any(|key| mac(key, id, timestamp, body).verify_slice(&given).is_ok());
        // More than these nobody has reason to send.
        const MOST: usize = 8;
        given.take(MOST).any(is_good).then_some(()).ok_or(Refusal::Wrong)
    }
}

fn mac(key: &Hmac<Sha256>, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac
}

fn key(word: &str) -> Result<Hmac<Sha256>, String> {
    let wrong = || {
        let (least, most) = (SIZE.start(), SIZE.end());
        format!(
            "must be `{PREFIX}` and the Base64 of {least} to {most} bytes: `echo {PREFIX}$(openssl rand -base64 32)`"
        )
    };
    let text = word.strip_prefix(PREFIX).ok_or_else(wrong)?;
    let bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| wrong())?);
    if !SIZE.contains(&bytes.len()) {
        return Err(wrong());
    }
    Hmac::new_from_slice(&bytes).map_err(|_| wrong())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::{Answer, Hunt};

    /// The example of the specification's reference libraries.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SENT: i64 = 1_614_265_330;
    const GOOD: Envelope<'_> = Envelope {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    };

    fn keys(text: &str) -> Keys {
        Keys::read(&Secret::new(text.to_owned())).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn the_published_example_is_believed_for_five_minutes_either_way() {
        let keys = keys(KEY);
        assert_eq!(keys.sign(GOOD.id, SENT, BODY), GOOD.signature);
        for now in [SENT, SENT + TOLERANCE, SENT - TOLERANCE] {
            assert_eq!(keys.check(GOOD, BODY, now), Ok(()));
        }
        for now in [SENT + TOLERANCE + 1, SENT - TOLERANCE - 1, i64::MIN, i64::MAX] {
            assert_eq!(keys.check(GOOD, BODY, now), Err(Refusal::Stale));
        }
    }

    #[test]
    fn any_key_and_any_signature_will_do() {
        let several = keys(&format!("whsec_{}\n{KEY}, ", BASE64.encode([7; 32])));
        assert_eq!(several.check(GOOD, BODY, SENT), Ok(()));
        let signature = format!("v1a,abc v2,AAAA v1,AAAA {}", GOOD.signature);
        assert_eq!(several.check(Envelope { signature: &signature, ..GOOD }, BODY, SENT), Ok(()));
        let others = keys(&format!("whsec_{}", BASE64.encode([7; 32])));
        assert_eq!(others.check(GOOD, BODY, SENT), Err(Refusal::Wrong));
    }

    #[test]
    fn what_was_changed_is_not_believed() {
        let keys = keys(KEY);
        let wrong = |envelope: Envelope<'_>, body: &[u8]| keys.check(envelope, body, SENT).unwrap_err();
        assert_eq!(wrong(GOOD, b"{\"test\": 2432232315}"), Refusal::Wrong);
        assert_eq!(wrong(Envelope { id: "msg_p5jXN8AQM9LWM0D4loKWxJeK", ..GOOD }, BODY), Refusal::Wrong);
        assert_eq!(wrong(Envelope { timestamp: "1614265331", ..GOOD }, BODY), Refusal::Wrong);
        assert_eq!(wrong(Envelope { timestamp: "soon", ..GOOD }, BODY), Refusal::NoTime);
        for signature in ["", "v1", "v1,", "v1,!", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="] {
            assert_eq!(wrong(Envelope { signature, ..GOOD }, BODY), Refusal::Wrong, "{signature}");
        }
        let late = format!("{} {}", "v1,AAAA ".repeat(8).trim_end(), GOOD.signature);
        assert_eq!(wrong(Envelope { signature: &late, ..GOOD }, BODY), Refusal::Wrong);
    }

    /// Three lines of an envelope, in whose signature `GOOD` stands for the right one, and the body.
    const SENT_ONES: [&str; 6] = [
        "msg_1\n1614265330\nGOOD\n{}",
        "msg_1\n1614265330\nv1,AAAA v2,AAAA v1a,x GOOD\n{\"test\": 2432232314}",
        "msg_1\n+1614265630\nv1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= GOOD\n",
        "msg.2\n1614265030\nGOOD GOOD\nx",
        "\n-1\nGOOD\n",
        "msg_1\n1614265330\nv1,AA== v1,AA== v1,AA== v1,AA== v1,AA== v1,AA== v1,AA== v1,AA== GOOD\n",
    ];

    pub(crate) fn hunt() -> Hunt {
        let keys = keys(KEY);
        let corpus = SENT_ONES.map(|sent| sent.as_bytes().to_vec()).to_vec();
        let fragments =
            &["GOOD", " ", "v1,", "v2,", "v1a,", "AA==", "\n", "1614265330", "-", "+", "0", ".", "=", "\0", "é"];
        let judge = Box::new(move |bytes: &[u8]| judge(&keys, bytes));
        Hunt { name: "signed webhooks", corpus, fragments, draw: |_| None, usual: 2_000, judge }
    }

    /// A message is believed when one of its first eight signatures is the right one, and its time is now.
    fn judge(keys: &Keys, bytes: &[u8]) -> Result<Answer, String> {
        let mut parts = bytes.splitn(4, |byte| *byte == b'\n');
        let mut line = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let (id, timestamp, signature) = (line(), line(), line());
        let body = parts.next().unwrap_or_default();
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let right = keys.0[0].clone().chain_update(signed).finalize().into_bytes();
        let right = format!("v1,{}", BASE64.encode(right));
        let signature = signature.replace("GOOD", &right);
        let is_now = timestamp.parse::<i64>().is_ok_and(|sent| sent.abs_diff(SENT) <= TOLERANCE.unsigned_abs());
        let read = signature.split(' ').filter(|one| {
            one.split_once(',').is_some_and(|(version, text)| version == "v1" && BASE64.decode(text).is_ok())
        });
        let is_right = read.take(8).any(|one| one == right);
        let envelope = Envelope { id: &id, timestamp: &timestamp, signature: &signature };
        match (keys.check(envelope, body, SENT), is_now && is_right) {
            (Ok(()), true) => Ok(Answer::Taken),
            (Err(_), false) => Ok(Answer::Refused),
            (Ok(()), false) => Err("believed, and not signed".to_owned()),
            (Err(refusal), true) => Err(format!("signed, and not believed: {refusal}")),
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_a_word_of_it() {
        for text in ["", " , ", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_???", &format!("{KEY} x")]
        {
            let why = Keys::read(&Secret::new(text.to_owned())).err().expect(text);
            assert!(text.len() < 5 || !why.contains(text), "{why}");
        }
    }
}
