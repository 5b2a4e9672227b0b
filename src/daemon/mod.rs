//! What wakes the daemon, and what it does then.

mod backoff;
mod courier;
mod heart;
pub mod serve;
pub mod signals;
mod systemd;
mod voice;
pub mod watch;

/// Who applies, as the lease and `status` name it: process and host.
pub fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{host}", std::process::id())
}
