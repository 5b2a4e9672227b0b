//! What a crash leaves behind: a line that says where, and nothing that the process knew.
//!
//! A core dump would hold every key, password and GUID that is in memory at that moment, and the text of a panic may
//! quote what was being worked on.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{self, Location};
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use super::print::err;
use crate::log;

/// How long a panic waits until its line is written.
const PATIENCE: Duration = Duration::from_secs(1);

/// Turns core dumps off, for this process and what it starts; lets nobody but root look into its memory or its
/// environment; and keeps panics from quoting. To be called when the program is the one that will run.
///
/// Errors: the system does not let it be turned off.
pub fn leave_nothing() -> io::Result<()> {
    panic::set_hook(Box::new(|panic| {
        err(&told(panic.payload(), panic.location(), &Backtrace::capture()));
        // The program may end with this panic, and its last line with it.
        log::flush(PATIENCE);
    }));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// A text that was put together at run time may quote anything; one that stands in the program quotes nothing.
fn told(payload: &(dyn Any + Send), location: Option<&Location<'_>>, backtrace: &Backtrace) -> String {
    let place = location.map_or_else(|| "an unknown place".to_owned(), Location::to_string);
    let what =
        payload.downcast_ref::<&'static str>().copied().unwrap_or("its message is not shown: it may quote a secret");
    let mut text = format!("error: a mistake in reconcile itself, at {place}: {what}\n");
    text.push_str("  hint: nothing is half written: start it again, and report this line\n");
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("{backtrace}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    const SECRET: &str = "c81c5482-e5f7-4df9-9e21-02b7f8c23977";
    /// Set in the process that is to crash.
    const HOW: &str = "RECONCILE_TEST_CRASH";

    /// Runs the test of this name in a process of its own, which sees that it is to crash this way.
    fn crashed(how: &str) -> (std::process::ExitStatus, String) {
        let test = "cli::crash::tests::a_crash_leaves_a_line_and_nothing_of_what_was_known";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let done = command.args(["--exact", test, "--nocapture"]).env(HOW, how).env("RUST_BACKTRACE", "1").output();
        let done = done.unwrap();
        (done.status, String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    }

    fn crash(how: &str) {
        leave_nothing().unwrap();
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let place = SECRET.len() + how.len();
        match how {
            "slice" => println!("{}", &SECRET[place..]),
            "text" => panic!("nothing in {SECRET}"),
            "word" => panic!("a fixed word"),
            _ => std::process::abort(),
        }
    }

    #[test]
    fn a_crash_leaves_a_line_and_nothing_of_what_was_known() {
        if let Ok(how) = std::env::var(HOW) {
            return crash(&how);
        }
        for how in ["slice", "text", "word"] {
            let (status, text) = crashed(how);
            assert!(!status.success() && !text.contains(SECRET), "{text}");
            assert!(text.contains("error: a mistake in reconcile itself, at "), "{text}");
            assert_eq!(text.contains(": a fixed word\n"), how == "word", "{text}");
            assert!(text.contains("cli::crash"), "the backtrace says where: {text}");
        }
        let (status, text) = crashed("abort");
        assert!(status.signal() == Some(6) && !status.core_dumped(), "{status}: {text}");
    }
}
